"""What a run did and what it earned: report.json and report.html from the ledger."""
