-- Executions of runbooks: the documents' texts, what was begun and how far it is, its journal of steps, what people answered, and the kill switch.

-- A document's text as an execution began with it: a newer one changes nothing for those under way.
CREATE TABLE documents (
    version TEXT NOT NULL, -- hex SHA-256 of the text
    name    TEXT NOT NULL,
    text    TEXT NOT NULL,
    PRIMARY KEY (version, name)
);

CREATE TABLE executions (
    id         TEXT PRIMARY KEY,
    runbook    TEXT NOT NULL,
    version    TEXT NOT NULL,
    documents  TEXT NOT NULL, -- JSON: name to version of every document that it may use
    mode       TEXT NOT NULL,
    route      TEXT NOT NULL,
    event      TEXT NOT NULL, -- the event's id; empty when a person began it
    envelope   TEXT NOT NULL, -- the event itself, for verify
    by_whom    TEXT NOT NULL,
    entity     TEXT NOT NULL,
    incident   TEXT NOT NULL,
    severity   TEXT NOT NULL,
    cause      TEXT NOT NULL, -- JSON: ids
    parameters TEXT NOT NULL, -- JSON, bound
    state      TEXT NOT NULL,
    step       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    reason     TEXT NOT NULL,
    outputs    TEXT NOT NULL, -- JSON
    approval   TEXT NOT NULL, -- JSON: what people are asked; empty when nothing
    verify     TEXT NOT NULL,
    cancel     TEXT NOT NULL, -- who asked to cancel, and why; empty when nobody did
    repeats    BIGINT NOT NULL, -- 1 when its route lets the runbook act twice for an incident
    acting     BIGINT NOT NULL, -- 1 from its first changing step to its end
    acted      BIGINT NOT NULL, -- when a changing step was let through last, Unix ms; 0 never
    began      BIGINT NOT NULL, -- Unix ms
    ended      BIGINT NOT NULL  -- Unix ms; 0 while it is open
);

CREATE INDEX executions_began ON executions (began, id);
CREATE INDEX executions_open ON executions (ended, began);
CREATE INDEX executions_incident ON executions (incident, ended);
CREATE INDEX executions_acted ON executions (entity, runbook, acted);

CREATE TABLE steps (
    execution TEXT NOT NULL REFERENCES executions (id),
    path      TEXT NOT NULL, -- "outer/inner"
    ordinal   BIGINT NOT NULL, -- in the order in which they began
    id        TEXT NOT NULL,
    state     TEXT NOT NULL,
    entry     TEXT NOT NULL, -- JSON: the whole entry of the journal
    PRIMARY KEY (execution, path)
);

CREATE INDEX steps_id ON steps (id);

CREATE TABLE answers (
    execution TEXT NOT NULL REFERENCES executions (id),
    path      TEXT NOT NULL,
    ordinal   BIGINT NOT NULL,
    who       TEXT NOT NULL,
    verb      TEXT NOT NULL,
    comment   TEXT NOT NULL,
    at        BIGINT NOT NULL, -- Unix ms
    PRIMARY KEY (execution, path, ordinal)
);

CREATE TABLE switches (
    name   TEXT PRIMARY KEY, -- "pause" is the kill switch
    is_on  BIGINT NOT NULL,
    who    TEXT NOT NULL,
    reason TEXT NOT NULL,
    at     BIGINT NOT NULL -- Unix ms
);
