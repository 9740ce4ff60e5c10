"""Every method beside every other: plan, jobs, statistics, report."""
