-- A list of what is pending, oldest first, without walking a tenant's whole history.
CREATE INDEX approvals_pending_list ON approvals (tenant, create_time, approval_id) WHERE state = 'PENDING';
