-- The log and the record of merges may grow and be pruned from the old end, but a line that stands is never rewritten.
-- Nor is the task of a unit or the origin of a gradient: triggers for columns cost nothing where no one names those.
CREATE FUNCTION ledger.refuse_change_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'BR002', MESSAGE = format('what stands in %s is never changed', TG_TABLE_NAME);
END
$$;
REVOKE ALL ON FUNCTION ledger.refuse_change_v1() FROM PUBLIC;

CREATE TRIGGER events_are_append_only BEFORE UPDATE ON ledger.events
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change_v1();
CREATE TRIGGER aggregations_are_append_only BEFORE UPDATE ON ledger.aggregations
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change_v1();
CREATE TRIGGER task_is_never_changed BEFORE UPDATE OF run_id, epoch, first_sample, num_samples, seed ON ledger.work_units
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change_v1();
CREATE TRIGGER origin_is_never_changed
    BEFORE UPDATE OF run_id, unit_id, attempt, worker_id, base_version ON ledger.gradients
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change_v1();
