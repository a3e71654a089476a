"""Programs that allocate, in the SIP language: the workloads of the collectors' experiments. They are read, never imported."""
