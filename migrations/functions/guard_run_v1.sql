-- The edges of contract/states.py, and one line in the log for each that is taken.
CREATE FUNCTION ledger.guard_run_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION USING ERRCODE = 'BR002', MESSAGE = format('a run is born created, not %s', NEW.state);
    END IF;
    IF NOT (CASE OLD.state
        WHEN 'created' THEN NEW.state IN ('running', 'failed')
        WHEN 'running' THEN NEW.state IN ('paused', 'finished', 'failed')
        WHEN 'paused' THEN NEW.state IN ('running', 'finished', 'failed')
        WHEN 'finished' THEN NEW.state = 'running'
        WHEN 'failed' THEN NEW.state = 'running'
        ELSE false
    END) THEN
        RAISE EXCEPTION USING ERRCODE = 'BR002',
            MESSAGE = format('run %s is %s and cannot become %s', OLD.name, OLD.state, NEW.state);
    END IF;
    INSERT INTO ledger.events (run_id, subject, subject_id, old_state, new_state, reason)
    VALUES (NEW.id, 'run', NEW.id, OLD.state, NEW.state, NEW.state_reason);
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION ledger.guard_run_v1() FROM PUBLIC;

CREATE TRIGGER run_is_born_created BEFORE INSERT ON ledger.runs
    FOR EACH ROW WHEN (NEW.state <> 'created') EXECUTE FUNCTION ledger.guard_run_v1();
CREATE TRIGGER run_follows_an_edge BEFORE UPDATE ON ledger.runs
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION ledger.guard_run_v1();
