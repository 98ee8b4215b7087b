BEGIN;
--
-- Alter field location on server
--
SET CONSTRAINTS "servers_server_location_id_f9a71620_fk_servers_location_id" IMMEDIATE; ALTER TABLE "servers_server" DROP CONSTRAINT "servers_server_location_id_f9a71620_fk_servers_location_id";
ALTER TABLE "servers_server" ALTER COLUMN "location_id" SET NOT NULL;
ALTER TABLE "servers_server" ADD CONSTRAINT "servers_server_location_id_f9a71620_fk_servers_location_id" FOREIGN KEY ("location_id") REFERENCES "servers_location" ("id") DEFERRABLE INITIALLY DEFERRED;
--
-- Remove field location_name from server
--
ALTER TABLE "servers_server" DROP COLUMN "location_name" CASCADE;
COMMIT;
