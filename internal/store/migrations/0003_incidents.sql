-- What is wrong, from the first anomaly or alert on an entity until all is well again. At most one is open for an entity.
CREATE TABLE incidents (
    seq      BIGINT PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    entity   TEXT NOT NULL,
    state    TEXT NOT NULL,
    severity TEXT NOT NULL,
    title    TEXT NOT NULL,
    note     TEXT NOT NULL,
    opened   BIGINT NOT NULL,
    updated  BIGINT NOT NULL,
    ended    BIGINT NOT NULL, -- when the last thing in it ended; 0 while one goes on
    resolved BIGINT NOT NULL  -- 0 while it is open
);
CREATE UNIQUE INDEX incidents_open ON incidents (entity) WHERE state = 'open';
CREATE INDEX incidents_state ON incidents (state, seq);
CREATE INDEX incidents_entity ON incidents (entity, seq);

-- An alert has the same id each time that it fires; with its begin it is one thing.
CREATE TABLE incident_members (
    seq      BIGINT PRIMARY KEY,
    id       TEXT NOT NULL,
    began    BIGINT NOT NULL,
    incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    kind     TEXT NOT NULL,
    entity   TEXT NOT NULL,
    title    TEXT NOT NULL,
    severity TEXT NOT NULL,
    ended    BIGINT NOT NULL, -- 0 while it goes on
    detail   TEXT NOT NULL,
    UNIQUE (id, began)
);
CREATE INDEX incident_members_incident ON incident_members (incident, seq);
CREATE INDEX incident_members_kind ON incident_members (kind, seq);
CREATE INDEX incident_members_open ON incident_members (kind, ended);

-- What was done about it, as the executions' own events tell.
CREATE TABLE incident_executions (
    execution TEXT PRIMARY KEY,
    incident  TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    runbook   TEXT NOT NULL,
    mode      TEXT NOT NULL,
    state     TEXT NOT NULL,
    verify    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    updated   BIGINT NOT NULL
);
CREATE INDEX incident_executions_incident ON incident_executions (incident, updated);
