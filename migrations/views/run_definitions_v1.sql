-- What decides a run's work: what join_v1 tells a worker, for whoever wants to know before joining.
CREATE VIEW watch.run_definitions AS
SELECT name AS run, mode, workload, workload_options, data, training, seed FROM ledger.runs;
