"""Write examples as a data set: Parquet files with a card, and the formats of other trainers."""
