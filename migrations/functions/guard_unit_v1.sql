-- The edges of contract/states.py, data that must match the state, and the log of every lease and outcome.
-- A trigger and not CHECKs: PostgreSQL parses every CHECK anew in each statement, which made a claim a third slower.
-- Branches and not one long condition: PL/pgSQL prepares in each transaction just the conditions it reaches.
CREATE FUNCTION ledger.guard_unit_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    v_fits boolean;
BEGIN
    IF NEW.state = 'leased' THEN
        v_fits := NEW.lease_expires_at > NEW.leased_at AND NEW.lease_token IS NOT NULL AND NEW.finished_at IS NULL
                  AND NEW.worker_id + NEW.base_version IS NOT NULL AND NEW.attempt > 0;
        IF v_fits AND OLD.state = 'open' AND NEW.num_failures BETWEEN 0 AND NEW.attempt THEN
            -- A claim, in as few conditions as may be. The log tells of it when the lease ends, with its beginning:
            -- half the lines, and a claim that writes no second row.
            RETURN NEW;
        END IF;
    ELSIF NEW.lease_expires_at IS NOT NULL OR NEW.lease_token IS NOT NULL THEN
        v_fits := false;
    ELSIF NEW.state = 'open' THEN
        v_fits := NEW.finished_at IS NULL;
    ELSIF NEW.state = 'submitted' THEN
        v_fits := NEW.finished_at IS NULL AND NEW.worker_id + NEW.base_version IS NOT NULL AND NEW.attempt > 0;
    ELSIF NEW.state = 'merged' THEN
        v_fits := NEW.finished_at IS NOT NULL AND NEW.worker_id + NEW.base_version IS NOT NULL AND NEW.attempt > 0;
    ELSE
        v_fits := NEW.finished_at IS NOT NULL;
    END IF;
    IF v_fits IS NOT TRUE OR NEW.num_failures NOT BETWEEN 0 AND NEW.attempt THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', TABLE = 'work_units',
            MESSAGE = format('a unit that is %s cannot look like this: %s', NEW.state, to_jsonb(NEW) - 'lease_token');
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'open' OR NEW.attempt <> 0 OR NEW.worker_id IS NOT NULL
           OR NEW.num_samples <= 0 OR NEW.first_sample < 0 OR NEW.epoch < 0 OR NEW.position < 0 THEN
            RAISE EXCEPTION USING ERRCODE = 'check_violation', TABLE = 'work_units',
                MESSAGE = format('a unit is born open, unclaimed and with samples, not like this: %s', to_jsonb(NEW));
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state = OLD.state AND NEW.lease_token IS NOT DISTINCT FROM OLD.lease_token AND OLD.finished_at IS NULL THEN
        RETURN NEW;
    END IF;
    IF NOT (CASE OLD.state
        WHEN 'open' THEN NEW.state IN ('leased', 'cancelled')
        WHEN 'leased' THEN NEW.state IN ('open', 'leased', 'submitted', 'failed', 'cancelled')
        WHEN 'submitted' THEN NEW.state IN ('open', 'merged', 'failed', 'cancelled')
        ELSE false
    END) THEN
        RAISE EXCEPTION USING ERRCODE = 'BR002',
            MESSAGE = format('unit %s is %s and cannot become %s', OLD.id, OLD.state, NEW.state);
    END IF;
    INSERT INTO ledger.events (run_id, subject, subject_id, old_state, new_state, since, worker_id, reason)
    VALUES (NEW.run_id, 'unit', NEW.id, OLD.state, NEW.state, CASE OLD.state WHEN 'leased' THEN OLD.leased_at END,
            CASE WHEN OLD.state <> 'open' THEN OLD.worker_id END, NEW.state_reason);
    IF NEW.finished_at IS NOT NULL THEN
        PERFORM ledger.tally_unit_v1(NEW);
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION ledger.guard_unit_v1() FROM PUBLIC;

CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON ledger.work_units
    FOR EACH ROW EXECUTE FUNCTION ledger.guard_unit_v1();
