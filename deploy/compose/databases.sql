-- Run once by the image of Postgres, by psql as its superuser, when the volume is empty: a database for Dagster's records, with
-- its role, and one for the partners' warehouses. The partners' roles come from `debitura --partner NAME doctor --grant-sql`.
\set ON_ERROR_STOP on
\set password `cat /run/secrets/dagster_password`
CREATE ROLE dagster LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE dagster OWNER dagster;
CREATE DATABASE warehouse;
REVOKE ALL ON DATABASE dagster FROM PUBLIC;
REVOKE ALL ON DATABASE warehouse FROM PUBLIC;
