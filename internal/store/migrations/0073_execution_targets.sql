-- What an execution over targets acted on besides its own entity: guards ask of each.
CREATE TABLE execution_targets (
    execution TEXT NOT NULL,
    entity    TEXT NOT NULL,
    acted     BIGINT NOT NULL, -- when a changing step was let through last, Unix ms
    PRIMARY KEY (execution, entity)
);
CREATE INDEX execution_targets_when ON execution_targets (entity, acted);
