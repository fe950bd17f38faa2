-- What finds entries in the audit log without reading all of it, and the checkpoints of it.
--
-- The index is derived from the segments and holds nothing else: empty these three, and it is built anew.

-- For each entry of a block, in order, 32 bytes: hashes of what queries ask for.
CREATE TABLE audit_blocks (
    block INTEGER PRIMARY KEY CHECK (block >= 0),
    signatures BLOB NOT NULL CHECK (length(signatures) % 32 = 0)
) STRICT;

-- In which of the 64 blocks of a group a term occurs, a bit for each, the lowest for the first. The group comes
-- first, so that the table only grows at its end. A term is a hash that the tenant is part of.
CREATE TABLE audit_terms (
    block_group INTEGER NOT NULL CHECK (block_group >= 0),
    term INTEGER NOT NULL,
    blocks INTEGER NOT NULL,
    PRIMARY KEY (block_group, term)
) STRICT, WITHOUT ROWID;

-- How far the index has come; one row.
CREATE TABLE audit_index (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- How many entries a block has.
    block_entries INTEGER NOT NULL CHECK (block_entries >= 1),
    -- How many blocks are in audit_blocks: what is before them is in the index.
    blocks INTEGER NOT NULL CHECK (blocks >= 0),
    -- How many groups of blocks are in audit_terms besides.
    block_groups INTEGER NOT NULL CHECK (block_groups >= 0 AND 64 * block_groups <= blocks)
) STRICT;

INSERT INTO audit_index (id, block_entries, blocks, block_groups) VALUES (1, 1024, 0, 0);

-- The log's times only rise, but where an operator accepted a clock that was set back: from these entries on they
-- begin anew.
CREATE TABLE clock_steps (
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 0)
) STRICT;

-- Signed notes of the log at some sizes. Copies are in the server's log: whoever can write here can write these.
CREATE TABLE audit_checkpoints (
    size INTEGER PRIMARY KEY CHECK (size >= 0),
    time INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_checkpoints_stay BEFORE UPDATE ON audit_checkpoints
BEGIN
    SELECT RAISE(ABORT, 'checkpoints never change');
END;
