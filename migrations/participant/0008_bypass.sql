-- Up Migration
-- Who changed what moves while no facade forwarded a write: noted during a rehearsal, once for each
-- transaction, table and operation, without a row's data.
CREATE TABLE banyan.bypass (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  capability text NOT NULL,
  table_name text NOT NULL,
  operation text NOT NULL,
  login text NOT NULL,
  application text NOT NULL,
  address inet,
  pid integer NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Argument: the capability. With its owner's rights: the session that it notes needs none of ours. What a
-- transaction has noted already it knows by a setting of its own, so that nothing is read here, and no
-- two writers meet, whatever their isolation level.
CREATE FUNCTION banyan.note_bypass() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  noted text := coalesce(current_setting('banyan.noted', true), '');
  mark text := format('%s %s %s;', TG_RELID, TG_OP, TG_ARGV[0]);
BEGIN
  IF strpos(noted, mark) = 0 THEN
    INSERT INTO banyan.bypass (capability, table_name, operation, login, application, address, pid)
      VALUES (TG_ARGV[0], TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, lower(TG_OP), session_user,
        current_setting('application_name'), inet_client_addr(), pg_backend_pid());
    PERFORM set_config('banyan.noted', noted || mark, true);
  END IF;
  RETURN NULL;
END $$;

-- Down Migration
DROP FUNCTION banyan.note_bypass();
DROP TABLE banyan.bypass;
