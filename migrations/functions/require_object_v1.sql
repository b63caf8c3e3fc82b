CREATE FUNCTION ledger.require_object_v1(p_what text, p_value jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_value IS NULL OR jsonb_typeof(p_value) <> 'object' OR pg_column_size(p_value) > 8192
       OR length(p_value::text) > 8192 THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006', MESSAGE = format('%s must be a JSON object of at most 8 kB', p_what);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION ledger.require_object_v1(text, jsonb) FROM PUBLIC;
