"""Run img2dataset once in its own environment; print milliseconds per image of each shard, from its own statistics.

python img2dataset_job.py LIST_OF_URLS OUTPUT_FOLDER URLS_PER_SHARD
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from img2dataset import download

if __name__ == "__main__":
    urls, folder, shard = sys.argv[1:]
    download(
        url_list=urls,
        output_folder=folder,
        processes_count=1,
        thread_count=16,
        image_size=512,
        resize_mode="keep_ratio_largest",
        resize_only_if_bigger=True,
        encode_quality=85,
        output_format="parquet",
        number_sample_per_shard=int(shard),
        enable_wandb=False,
    )
    shards = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*_stats.json"))]
    assert all(shard["successes"] == shard["count"] for shard in shards), shards
    print("RESULT", json.dumps([1000 * shard["duration"] / shard["count"] for shard in shards]))
