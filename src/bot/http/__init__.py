"""What every front door needs: requests, problems, idempotency, scopes, paging, headers. Knows no resource."""
