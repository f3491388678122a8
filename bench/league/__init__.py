"""The league table: the same worlds through this pipeline, through dlt's REST source and through a plain script."""
