// Jest transform: the same type stripping that Node itself does, so tests run exactly the code that ships.
const { stripTypeScriptTypes } = require('node:module');

module.exports = {
  process: (source) => ({ code: stripTypeScriptTypes(source, { mode: 'strip' }) }),
};
