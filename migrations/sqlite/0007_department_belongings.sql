-- Who gave a department a role, or put it below another: whoever did made voters of its members. Like the rows of
-- belongings, these stay for good, and the first of a kind counts.
CREATE TABLE department_belongings (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    department TEXT NOT NULL,
    -- `role:NAME`, or `department:NAME` of the one above.
    belongs_to TEXT NOT NULL,
    made_by TEXT,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant, department, belongs_to)
) STRICT, WITHOUT ROWID;

INSERT INTO department_belongings (tenant, department, belongs_to, made_by, create_time)
SELECT tenant, department, belongs_to, changed_by, change_time
FROM (
    SELECT tenant, department, 'department:' || parent AS belongs_to, from_version AS version
    FROM departments WHERE parent IS NOT NULL
    UNION ALL
    SELECT tenant, member, 'role:' || belongs_to, from_version
    FROM memberships WHERE kind = 'DEPARTMENT_ROLE'
)
JOIN policy_versions USING (tenant, version)
WHERE true
ORDER BY version
ON CONFLICT DO NOTHING;
