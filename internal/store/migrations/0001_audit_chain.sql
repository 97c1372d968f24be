-- What was done and why, each line bound to the one before by its hash; and what caused what.
CREATE TABLE audit (
    seq     BIGINT PRIMARY KEY,
    time    BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    verb    TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason  TEXT NOT NULL,
    detail  TEXT NOT NULL,
    prev    TEXT NOT NULL,
    hash    TEXT NOT NULL
);
CREATE INDEX audit_subject ON audit (subject, seq);

-- One row: the last line. A log whose last lines were taken away still forms a chain, but no longer ends here.
CREATE TABLE audit_head (
    id   BIGINT PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');

CREATE TABLE chain (
    id   TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    time BIGINT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX chain_time ON chain (time);

CREATE TABLE chain_cause (
    effect TEXT NOT NULL,
    cause  TEXT NOT NULL,
    PRIMARY KEY (effect, cause)
);
CREATE INDEX chain_cause_cause ON chain_cause (cause, effect);
