-- Every version of a tenant's policy, whether its document changed or its directory.
CREATE TABLE policy_versions (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    version INTEGER NOT NULL CHECK (version >= 1),
    -- The version that brought the document which holds in this one.
    document_version INTEGER NOT NULL,
    -- How many users, departments and memberships it changed.
    directory_changes INTEGER NOT NULL DEFAULT 0,
    change_time INTEGER NOT NULL,
    changed_by TEXT,
    PRIMARY KEY (tenant, version),
    FOREIGN KEY (tenant, document_version) REFERENCES policies (tenant, version)
) STRICT, WITHOUT ROWID;

INSERT INTO policy_versions (tenant, version, document_version, change_time, changed_by)
SELECT tenant, version, version, apply_time, applied_by FROM policies;

-- The directory. A row holds from one version on, until before another; NULL is until further notice.
CREATE TABLE users (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    user TEXT NOT NULL,
    from_version INTEGER NOT NULL CHECK (from_version >= 1),
    until_version INTEGER CHECK (until_version > from_version),
    kind TEXT NOT NULL CHECK (kind IN ('HUMAN', 'SERVICE')),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    PRIMARY KEY (tenant, user, from_version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX users_one ON users (tenant, user) WHERE until_version IS NULL;
CREATE INDEX users_from ON users (tenant, from_version);
CREATE INDEX users_until ON users (tenant, until_version) WHERE until_version IS NOT NULL;

CREATE TABLE departments (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    department TEXT NOT NULL,
    from_version INTEGER NOT NULL CHECK (from_version >= 1),
    until_version INTEGER CHECK (until_version > from_version),
    parent TEXT,
    PRIMARY KEY (tenant, department, from_version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX departments_one ON departments (tenant, department) WHERE until_version IS NULL;
CREATE INDEX departments_from ON departments (tenant, from_version);
CREATE INDEX departments_until ON departments (tenant, until_version) WHERE until_version IS NOT NULL;

CREATE TABLE memberships (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    -- A department lists a user; a user holds a role; the members of a department hold a role.
    kind TEXT NOT NULL CHECK (kind IN ('DEPARTMENT', 'USER_ROLE', 'DEPARTMENT_ROLE')),
    -- The user, or the department whose members hold the role.
    member TEXT NOT NULL,
    -- The department, or the role.
    belongs_to TEXT NOT NULL,
    from_version INTEGER NOT NULL CHECK (from_version >= 1),
    until_version INTEGER CHECK (until_version > from_version),
    PRIMARY KEY (tenant, kind, member, belongs_to, from_version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX memberships_one ON memberships (tenant, kind, member, belongs_to) WHERE until_version IS NULL;
CREATE INDEX memberships_from ON memberships (tenant, from_version);
CREATE INDEX memberships_until ON memberships (tenant, until_version) WHERE until_version IS NOT NULL;
