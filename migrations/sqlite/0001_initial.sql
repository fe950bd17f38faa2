-- Times are microseconds since 1970 in UTC, ids are 16 bytes, digests are 32 bytes.

CREATE TABLE tenants (
    tenant TEXT NOT NULL PRIMARY KEY,
    policy_version INTEGER NOT NULL CHECK (policy_version >= 1),
    -- Rises when a credential is revoked.
    credentials_version INTEGER NOT NULL CHECK (credentials_version >= 1),
    create_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE policies (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    version INTEGER NOT NULL CHECK (version >= 1),
    document TEXT NOT NULL,
    apply_time INTEGER NOT NULL,
    -- NULL means the service itself, here and in every other column that names who did something.
    applied_by TEXT,
    PRIMARY KEY (tenant, version)
) STRICT;

CREATE TABLE belongings (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    user TEXT NOT NULL,
    -- `role:NAME` or `department:NAME`; empty for the user as such.
    belongs_to TEXT NOT NULL,
    made_by TEXT,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant, user, belongs_to)
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    credential_id BLOB NOT NULL CHECK (length(credential_id) = 16),
    -- SHA-256 of the secret.
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    user TEXT NOT NULL,
    description TEXT NOT NULL,
    limits TEXT NOT NULL CHECK (json_valid(limits)),
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    revoke_time INTEGER,
    made_by TEXT,
    PRIMARY KEY (tenant, credential_id)
) STRICT;

CREATE INDEX credentials_list ON credentials (tenant, create_time, credential_id);
CREATE INDEX credentials_user ON credentials (tenant, user);

CREATE TABLE approvals (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    approval_id BLOB NOT NULL CHECK (length(approval_id) = 16),
    subject_user TEXT NOT NULL,
    -- No agent is the empty string, so that it takes part in the unique index; no session likewise.
    agent TEXT NOT NULL DEFAULT '',
    session TEXT NOT NULL DEFAULT '',
    subject_roles TEXT NOT NULL CHECK (json_valid(subject_roles)),
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    action_digest BLOB NOT NULL CHECK (length(action_digest) = 32),
    sensitivity TEXT NOT NULL CHECK (sensitivity IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
    arguments_redacted TEXT NOT NULL,
    requirement TEXT NOT NULL CHECK (json_valid(requirement)),
    policy_version INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PENDING', 'APPROVED', 'REJECTED', 'EXPIRED', 'CANCELLED')),
    decide_time INTEGER,
    decided_by TEXT,
    reason TEXT,
    waited INTEGER CHECK (waited IN (0, 1)),
    version INTEGER NOT NULL CHECK (version >= 1),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    PRIMARY KEY (tenant, approval_id),
    CHECK ((state = 'PENDING') = (decide_time IS NULL)),
    CHECK ((state = 'EXPIRED') = (waited IS NOT NULL)),
    CHECK (state NOT IN ('APPROVED', 'REJECTED') OR decided_by IS NOT NULL),
    CHECK (state NOT IN ('REJECTED', 'CANCELLED') OR reason IS NOT NULL)
) STRICT;

-- One pending approval for an action of a user and agent.
CREATE UNIQUE INDEX approvals_pending ON approvals (tenant, subject_user, agent, action_digest)
WHERE state = 'PENDING';
CREATE INDEX approvals_due ON approvals (expire_time) WHERE state = 'PENDING';
CREATE INDEX approvals_list ON approvals (tenant, create_time, approval_id);
CREATE INDEX approvals_digest ON approvals (tenant, subject_user, action_digest, decide_time);

CREATE TRIGGER approvals_stay_final BEFORE UPDATE ON approvals
WHEN OLD.state <> 'PENDING' AND (
    NEW.state IS NOT OLD.state OR NEW.decide_time IS NOT OLD.decide_time
    OR NEW.decided_by IS NOT OLD.decided_by OR NEW.reason IS NOT OLD.reason
    OR NEW.waited IS NOT OLD.waited
)
BEGIN
    SELECT RAISE(ABORT, 'an approval never leaves its final state');
END;

CREATE TRIGGER approvals_stay_bound BEFORE UPDATE ON approvals
WHEN NEW.tenant IS NOT OLD.tenant OR NEW.approval_id IS NOT OLD.approval_id
    OR NEW.subject_user IS NOT OLD.subject_user OR NEW.agent IS NOT OLD.agent
    OR NEW.session IS NOT OLD.session OR NEW.subject_roles IS NOT OLD.subject_roles
    OR NEW.server IS NOT OLD.server OR NEW.tool IS NOT OLD.tool
    OR NEW.action_digest IS NOT OLD.action_digest OR NEW.sensitivity IS NOT OLD.sensitivity
    OR NEW.arguments_redacted IS NOT OLD.arguments_redacted OR NEW.requirement IS NOT OLD.requirement
    OR NEW.policy_version IS NOT OLD.policy_version OR NEW.create_time IS NOT OLD.create_time
    OR NEW.expire_time IS NOT OLD.expire_time
    OR NEW.version < OLD.version OR NEW.sequence < OLD.sequence
BEGIN
    SELECT RAISE(ABORT, 'what an approval is bound to never changes');
END;

-- The sealed arguments of pending approvals; dropped when they end.
CREATE TABLE approval_arguments (
    tenant TEXT NOT NULL,
    approval_id BLOB NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant, approval_id),
    FOREIGN KEY (tenant, approval_id) REFERENCES approvals (tenant, approval_id)
) STRICT;

CREATE TABLE asks (
    tenant TEXT NOT NULL,
    approval_id BLOB NOT NULL,
    -- From 0, in the order of asking.
    number INTEGER NOT NULL CHECK (number >= 0),
    user TEXT NOT NULL,
    subject_user TEXT NOT NULL,
    credential_id BLOB NOT NULL CHECK (length(credential_id) = 16),
    time INTEGER NOT NULL,
    justification TEXT,
    PRIMARY KEY (tenant, approval_id, number),
    FOREIGN KEY (tenant, approval_id) REFERENCES approvals (tenant, approval_id)
) STRICT;

-- Counts the requests made for a user since a time.
CREATE INDEX asks_rate ON asks (tenant, subject_user, time);

CREATE TABLE votes (
    tenant TEXT NOT NULL,
    approval_id BLOB NOT NULL,
    user TEXT NOT NULL,
    -- From 0, in the order of voting.
    number INTEGER NOT NULL CHECK (number >= 0),
    credential_id BLOB NOT NULL CHECK (length(credential_id) = 16),
    verdict TEXT NOT NULL CHECK (verdict IN ('APPROVE', 'REJECT')),
    reason TEXT NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (tenant, approval_id, user),
    FOREIGN KEY (tenant, approval_id) REFERENCES approvals (tenant, approval_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER votes_stay BEFORE UPDATE ON votes
BEGIN
    SELECT RAISE(ABORT, 'votes never change');
END;

CREATE TRIGGER votes_are_kept BEFORE DELETE ON votes
BEGIN
    SELECT RAISE(ABORT, 'votes are never taken back');
END;

CREATE TABLE grants (
    tenant TEXT NOT NULL,
    grant_id BLOB NOT NULL CHECK (length(grant_id) = 16),
    approval_id BLOB NOT NULL,
    expire_time INTEGER NOT NULL,
    uses_max INTEGER NOT NULL CHECK (uses_max >= 0),
    revoke_time INTEGER,
    revoked_by TEXT,
    revoke_reason TEXT,
    PRIMARY KEY (tenant, grant_id),
    UNIQUE (tenant, approval_id),
    FOREIGN KEY (tenant, approval_id) REFERENCES approvals (tenant, approval_id),
    CHECK ((revoke_time IS NULL) = (revoke_reason IS NULL))
) STRICT;

CREATE INDEX grants_open ON grants (tenant, expire_time) WHERE revoke_time IS NULL;

CREATE TABLE grant_uses (
    tenant TEXT NOT NULL,
    grant_id BLOB NOT NULL,
    -- From 0, in the order of use.
    number INTEGER NOT NULL CHECK (number >= 0),
    time INTEGER NOT NULL,
    use_before INTEGER NOT NULL,
    credential_id BLOB NOT NULL CHECK (length(credential_id) = 16),
    request_id BLOB CHECK (length(request_id) = 16),
    body BLOB CHECK (length(body) = 32),
    outcome TEXT CHECK (outcome IN ('SUCCEEDED', 'FAILED', 'AMBIGUOUS')),
    PRIMARY KEY (tenant, grant_id, number),
    UNIQUE (tenant, credential_id, request_id),
    FOREIGN KEY (tenant, grant_id) REFERENCES grants (tenant, grant_id),
    CHECK ((request_id IS NULL) = (body IS NULL))
) STRICT;

CREATE TABLE events (
    -- Rises over all approvals in the order of commits, and is never used twice.
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    approval_id BLOB NOT NULL,
    -- The approval's own order, from 1.
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    kind TEXT NOT NULL CHECK (kind IN (
        'OPENED', 'JOINED', 'VOTED', 'APPROVED', 'REJECTED', 'EXPIRED', 'CANCELLED', 'REDEEMED', 'REVOKED'
    )),
    time INTEGER NOT NULL,
    user TEXT,
    UNIQUE (tenant, approval_id, sequence),
    FOREIGN KEY (tenant, approval_id) REFERENCES approvals (tenant, approval_id)
) STRICT;

-- First answers, so that the same request gets the same answer.
CREATE TABLE answers (
    tenant TEXT NOT NULL,
    user TEXT NOT NULL,
    rpc TEXT NOT NULL,
    request_id BLOB NOT NULL CHECK (length(request_id) = 16),
    body BLOB NOT NULL CHECK (length(body) = 32),
    value TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant, user, rpc, request_id)
) STRICT;

CREATE INDEX answers_age ON answers (create_time);

-- The audit log: one row a commit. No index besides the key, which would cost more than the row.
CREATE TABLE audit_segments (
    first_sequence INTEGER PRIMARY KEY CHECK (first_sequence >= 0),
    count INTEGER NOT NULL CHECK (count >= 1),
    -- Each entry behind its length as two bytes, least significant first.
    entries BLOB NOT NULL,
    leaf_hashes BLOB NOT NULL CHECK (length(leaf_hashes) = 32 * count)
) STRICT;

CREATE TRIGGER audit_segments_stay BEFORE UPDATE ON audit_segments
BEGIN
    SELECT RAISE(ABORT, 'audit segments never change');
END;

CREATE TRIGGER audit_segments_are_kept BEFORE DELETE ON audit_segments
BEGIN
    SELECT RAISE(ABORT, 'audit segments are never taken out');
END;

-- What every transaction carries on from; one row.
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- The time of the newest transaction.
    last_now INTEGER NOT NULL,
    tree_size INTEGER NOT NULL CHECK (tree_size >= 0),
    frontier BLOB NOT NULL,
    -- Rises when a tenant, a policy or a credential changes.
    versions_changes INTEGER NOT NULL CHECK (versions_changes >= 0)
) STRICT;

INSERT INTO state (id, last_now, tree_size, frontier, versions_changes) VALUES (1, 0, 0, zeroblob(8), 0);
