-- The edges of contract/states.py, data that must match the state, and one line in the log for each edge taken.
-- Only an upload may grow in place: what was submitted or judged changes along an edge or not at all.
-- A trigger and not CHECKs, for the reason that guard_unit has: they made a submit half as dear again.
CREATE FUNCTION ledger.guard_gradient_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    v_fits boolean;
BEGIN
    IF NEW.state = 'uploading' THEN
        v_fits := NEW.finished_at IS NULL AND NEW.merged_version IS NULL
                  AND NEW.num_bytes >= 0 AND NEW.attempt > 0 AND pg_column_size(NEW.losses) <= 8192
                  AND coalesce(octet_length(NEW.sha256), 32) = 32 AND coalesce(NEW.num_parts, 1) > 0
                  AND coalesce(NEW.num_samples, 1) > 0 AND coalesce(length(NEW.codec), 0) <= 40;
    ELSIF NEW.state = 'discarded' THEN
        v_fits := NEW.finished_at IS NOT NULL AND NEW.merged_version IS NULL;
    ELSE
        v_fits := octet_length(NEW.sha256) = 32 AND NEW.num_parts > 0 AND NEW.num_samples > 0 AND NEW.num_bytes >= 0
                  AND length(NEW.codec) <= 40 AND NEW.submitted_at IS NOT NULL;
        IF NEW.state = 'submitted' THEN
            v_fits := v_fits AND NEW.finished_at IS NULL AND NEW.merged_version IS NULL
                      AND pg_column_size(NEW.losses) <= 8192;
        ELSIF NEW.state = 'merged' THEN
            v_fits := v_fits AND NEW.finished_at IS NOT NULL AND NEW.merged_version IS NOT NULL
                      AND NEW.weight IS NOT NULL;
        ELSE
            v_fits := v_fits AND NEW.finished_at IS NOT NULL AND NEW.merged_version IS NULL
                      AND NEW.verdict IS NOT NULL;
        END IF;
    END IF;
    IF v_fits IS NOT TRUE OR length(NEW.verdict) > 1000 OR NOT NEW.weight BETWEEN 0 AND 1e300 THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', TABLE = 'gradients',
            MESSAGE = format('a gradient that is %s cannot look like this: %s', NEW.state, to_jsonb(NEW));
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'uploading' THEN
            RAISE EXCEPTION USING ERRCODE = 'BR002', MESSAGE = format('a gradient is born uploading, not %s', NEW.state);
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state = 'uploading' AND OLD.state = 'uploading' THEN
        RETURN NEW;
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
    IF NEW.finished_at IS NOT NULL THEN
        PERFORM ledger.tally_gradient_v1(NEW);
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION ledger.guard_gradient_v1() FROM PUBLIC;

CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON ledger.gradients
    FOR EACH ROW EXECUTE FUNCTION ledger.guard_gradient_v1();
