-- Whether the tenant is enabled in this version: nobody may do anything in one that isn't.
ALTER TABLE policy_versions ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1));
