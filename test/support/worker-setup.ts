// The server of this worker, before any suite of its own begins.
const { JEST_WORKER_ID = '1' } = process.env;
process.env['BANYAN_TEST_POSTGRES'] = process.env[`BANYAN_TEST_POSTGRES_${JEST_WORKER_ID}`];
