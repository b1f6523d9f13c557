// Seeded simulation with constraints that are checked at the end of a transaction.
import { simulation } from '../test/support/simulation/suite.ts';

simulation(true);
