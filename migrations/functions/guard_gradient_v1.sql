-- The edges of contract/states.py, and one line in the log for each that is taken.
-- Only an upload may grow in place: what was submitted or judged changes along an edge or not at all.
CREATE FUNCTION ledger.guard_gradient_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION USING ERRCODE = 'BR002', MESSAGE = format('a gradient is born uploading, not %s', NEW.state);
    END IF;
    IF NOT (CASE OLD.state
        WHEN 'uploading' THEN NEW.state IN ('submitted', 'discarded')
        WHEN 'submitted' THEN NEW.state IN ('merged', 'rejected', 'discarded')
        ELSE false
    END) THEN
        RAISE EXCEPTION USING ERRCODE = 'BR002',
            MESSAGE = format('gradient %s is %s and cannot become %s', OLD.id, OLD.state, NEW.state);
    END IF;
    INSERT INTO ledger.events (run_id, subject, subject_id, old_state, new_state, worker_id, reason)
    VALUES (NEW.run_id, 'gradient', NEW.id, OLD.state, NEW.state, NEW.worker_id, NEW.verdict);
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION ledger.guard_gradient_v1() FROM PUBLIC;

CREATE TRIGGER gradient_is_born_uploading BEFORE INSERT ON ledger.gradients
    FOR EACH ROW WHEN (NEW.state <> 'uploading') EXECUTE FUNCTION ledger.guard_gradient_v1();
CREATE TRIGGER gradient_follows_an_edge BEFORE UPDATE ON ledger.gradients
    FOR EACH ROW WHEN (OLD.state <> NEW.state OR OLD.state <> 'uploading') EXECUTE FUNCTION ledger.guard_gradient_v1();
