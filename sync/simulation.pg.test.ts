// Seeded simulation with constraints that are checked at once.
import { simulation } from '../test/support/simulation/suite.ts';

simulation(false);
