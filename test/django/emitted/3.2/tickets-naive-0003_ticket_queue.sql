BEGIN;
--
-- Add field queue to ticket
--
ALTER TABLE "tickets_ticket" ADD COLUMN "queue_id" integer DEFAULT 1 NOT NULL CONSTRAINT "tickets_ticket_queue_id_0d3cb9ef_fk_tickets_queue_id" REFERENCES "tickets_queue"("id") DEFERRABLE INITIALLY DEFERRED; SET CONSTRAINTS "tickets_ticket_queue_id_0d3cb9ef_fk_tickets_queue_id" IMMEDIATE;
ALTER TABLE "tickets_ticket" ALTER COLUMN "queue_id" DROP DEFAULT;
COMMIT;
