"""The console command `debitura`."""
