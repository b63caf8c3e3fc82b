-- What decides a run's work: what join_v1 tells a worker, for whoever wants to know before joining.
CREATE VIEW watch.run_definitions AS
SELECT r.name AS run, r.mode, r.workload, r.workload_options, r.data, r.training, r.seed FROM ledger.runs r;
