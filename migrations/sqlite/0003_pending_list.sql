-- A list of what is pending, oldest first, without walking a tenant's whole history. The end is there to be counted by,
-- on the index alone.
CREATE INDEX approvals_pending_list ON approvals (tenant, create_time, approval_id, expire_time) WHERE state = 'PENDING';
