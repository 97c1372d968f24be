-- Runbooks that verification failed on an entity: after the second time they ask before they act there, until a person resets it.
CREATE TABLE runbook_failures (
    runbook   TEXT NOT NULL,
    entity    TEXT NOT NULL,
    failed    BIGINT NOT NULL,
    execution TEXT NOT NULL, -- the last one that failed
    at        BIGINT NOT NULL, -- Unix ms
    PRIMARY KEY (runbook, entity)
);
