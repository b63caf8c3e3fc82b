-- Losses by name, each a finite number: {"loss": 0.31}. JSON knows no NaN; a text "NaN" is refused here.
CREATE FUNCTION ledger.require_losses_v1(p_losses jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM ledger.require_object_v1('losses', p_losses);
    IF (SELECT count(*) > 16 OR bool_or(key !~ '^[A-Za-z0-9_.-]{1,40}$' OR jsonb_typeof(value) <> 'number')
          FROM jsonb_each(p_losses)) THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006', MESSAGE = 'losses must be at most 16 finite numbers by plain name';
    END IF;
    IF (SELECT bool_or(abs((value #>> '{}')::numeric) > 1e30) FROM jsonb_each(p_losses)) THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006', MESSAGE = 'a loss beyond 1e30 is no loss';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION ledger.require_losses_v1(jsonb) FROM PUBLIC;
