SELECT count(*) FROM migration_guard.check((SELECT sql FROM scripts WHERE kind = ':kind'));
