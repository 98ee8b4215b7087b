BEGIN;
--
-- Add field queue to ticket
--
ALTER TABLE "tickets_ticket" ADD COLUMN "queue_id" integer DEFAULT 1 NOT NULL;
ALTER TABLE "tickets_ticket" ALTER COLUMN "queue_id" DROP DEFAULT;
--
-- Alter field queue on ticket
--
ALTER TABLE "tickets_ticket" ADD CONSTRAINT "tickets_ticket_queue_id_0d3cb9ef_fk_tickets_queue_id" FOREIGN KEY ("queue_id") REFERENCES "tickets_queue" ("id") DEFERRABLE INITIALLY DEFERRED;
COMMIT;
