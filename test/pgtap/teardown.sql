-- teardown.sql
--
-- Takes away what setup.sql made.

SET migration_guard.mode = 'off';
DROP SCHEMA IF EXISTS shop CASCADE;
