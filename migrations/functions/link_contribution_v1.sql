-- One link of a run's chain, for one merged gradient. Whoever inserts names the gradient; all else is what the ledger says
-- of it, so that nothing untrue comes in by this door. The hash covers the hash of the link before and every field:
-- integers as eight bytes, the weight as an IEEE double, the time in microseconds since 2000, text and bytes after their
-- length (docs/decisions/0027). Before the first link stand the run's name and seed.
-- Everybody may read the hash. In a private run it does not cover what the gradient said: whoever knows all samples but
-- one could try which sample gives that hash.
CREATE FUNCTION ledger.link_contribution_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    v_run record;
    v_volunteer bytea;
BEGIN
    SELECT g.run_id, g.unit_id, g.attempt, coalesce(v.name, '(gone)'), g.worker_id, g.merged_version, g.num_samples,
           g.weight, g.sha256, g.finished_at
      INTO NEW.run_id, NEW.unit_id, NEW.attempt, NEW.volunteer, NEW.worker_id, NEW.version, NEW.num_samples,
           NEW.weight, NEW.sha256, NEW.merged_at
      FROM ledger.gradients g
      LEFT JOIN ledger.workers w ON w.id = g.worker_id
      LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id
     WHERE g.id = NEW.gradient_id AND g.state = 'merged';
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'BR002',
            MESSAGE = format('gradient %s was not merged, and only merged gradients are contributions', NEW.gradient_id);
    END IF;
    SELECT r.name, r.seed, coalesce(jsonb_typeof(r.training -> 'privacy') = 'object', false) AS is_private
      INTO v_run FROM ledger.runs r WHERE r.id = NEW.run_id;
    IF v_run.is_private THEN
        NEW.sha256 := NULL;
    END IF;
    SELECT c.number + 1, c.hash INTO NEW.number, NEW.previous
      FROM ledger.contributions c WHERE c.run_id = NEW.run_id ORDER BY c.number DESC LIMIT 1;
    IF NOT FOUND THEN
        NEW.number := 1;
        NEW.previous := sha256(int4send(25) || convert_to('barnraise contributions 1', 'UTF8')
                               || int4send(octet_length(convert_to(v_run.name, 'UTF8')))
                               || convert_to(v_run.name, 'UTF8') || int8send(v_run.seed));
    END IF;
    v_volunteer := convert_to(NEW.volunteer, 'UTF8');
    NEW.hash := sha256(
        int4send(32) || NEW.previous || int8send(NEW.number) || int8send(NEW.gradient_id) || int8send(NEW.unit_id)
        || int8send(NEW.attempt::bigint) || int4send(octet_length(v_volunteer)) || v_volunteer
        || int8send(NEW.worker_id) || int8send(NEW.version) || int8send(NEW.num_samples) || float8send(NEW.weight)
        || coalesce(int4send(octet_length(NEW.sha256)) || NEW.sha256, int4send(-1))
        || timestamptz_send(NEW.merged_at));
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION ledger.link_contribution_v1() FROM PUBLIC;

CREATE TRIGGER chained BEFORE INSERT ON ledger.contributions
    FOR EACH ROW EXECUTE FUNCTION ledger.link_contribution_v1();
CREATE TRIGGER contributions_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.contributions
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change_v1();
