/** Imports point down: cli → facade, sync → control → core. `domain/` is pure. */
const path = (expression) => ({ path: expression });
const SOURCE = '^(cli|facade|sync|control|core|monolith|extracted|bench)/';
const forbid = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });
const TEST = '\\.test\\.ts$';

module.exports = {
  forbidden: [
    forbid('no-circular', 'a cycle hides which part is the lower one', {}, { circular: true }),
    forbid(
      'core-is-the-ground',
      'core knows nothing of migrations',
      { path: '^core/', pathNot: TEST },
      path('^(cli|facade|sync|control|monolith|extracted|bench|test)/'),
    ),
    forbid(
      'control-looks-down',
      'control may use core only',
      { path: '^control/', pathNot: TEST },
      path('^(cli|facade|sync|monolith|extracted|bench|test)/'),
    ),
    forbid(
      'facade-and-sync-meet-in-control',
      'they never import each other',
      { path: '^facade/', pathNot: TEST },
      path('^(cli|sync|monolith|extracted|bench|test)/'),
    ),
    forbid(
      'sync-and-facade-meet-in-control',
      'they never import each other',
      { path: '^sync/', pathNot: TEST },
      path('^(cli|facade|monolith|extracted|bench|test)/'),
    ),
    forbid(
      'cli-is-the-top',
      'nothing but bench and tests stands above the command',
      { path: '^cli/', pathNot: TEST },
      path('^(monolith|extracted|bench|test)/'),
    ),
    forbid(
      'the-sample-knows-nothing-of-us',
      "a team's own code would not either",
      { path: '^(monolith|extracted)/', pathNot: TEST },
      path('^(cli|facade|sync|control|core|bench|test)/'),
    ),
    forbid(
      'the-monolith-knows-no-service',
      'they speak HTTP or not at all',
      path('^monolith/'),
      path('^extracted/'),
    ),
    forbid(
      'a-service-knows-no-monolith',
      'they speak HTTP or not at all',
      path('^extracted/'),
      path('^monolith/'),
    ),
    forbid(
      'services-know-not-each-other',
      'they speak HTTP or not at all',
      path('^extracted/([^/]+)/'),
      { path: '^extracted/', pathNot: '^extracted/$1/' },
    ),
    forbid(
      'domain-is-pure',
      'no I/O in domain/',
      { path: '/domain/', pathNot: TEST },
      { dependencyTypes: ['core', 'npm', 'npm-dev', 'npm-optional'] },
    ),
    forbid(
      'domain-imports-domain',
      'a domain file imports types and other domain files only',
      { path: '/domain/', pathNot: TEST },
      {
        path: SOURCE,
        pathNot: '(/domain/|^core/errors\\.ts$|^core/postgres/(lsn|identifiers|text-forms)\\.ts$)',
        dependencyTypesNot: ['type-only'],
      },
    ),
    forbid(
      'no-test-in-source',
      'source never imports a test or its support; benchmarks share what stands there',
      { path: SOURCE, pathNot: `(${TEST}|^bench/)` },
      path('(\\.test\\.ts$|^test/)'),
    ),
    forbid(
      'no-dev-dependency',
      'what is published runs on dependencies alone',
      { path: '^(cli|facade|sync|control|core)/', pathNot: TEST },
      { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      conditionNames: ['source', 'import', 'node', 'types', 'default'],
      exportsFields: ['exports'],
    },
  },
};
