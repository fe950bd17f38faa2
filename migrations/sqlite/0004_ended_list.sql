-- A list of what ended one way, oldest first, without walking what ended otherwise. It costs one entry when an approval
-- ends, and nothing before.
CREATE INDEX approvals_ended_list ON approvals (tenant, state, create_time, approval_id) WHERE state <> 'PENDING';
