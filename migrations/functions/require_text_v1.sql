-- Besides the control characters of ASCII those of Unicode: they too move a terminal's cursor or turn a line around.
-- E'': what \u means in a plain text is the caller's to set.
CREATE FUNCTION ledger.require_text_v1(p_what text, p_value text, p_max_length integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_value IS NULL OR length(p_value) NOT BETWEEN 1 AND p_max_length
       OR p_value ~ E'[[:cntrl:]\u0080-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]' THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006',
            MESSAGE = format('%s must be 1 to %s printable characters', p_what, p_max_length);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION ledger.require_text_v1(text, text, integer) FROM PUBLIC;
