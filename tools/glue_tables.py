"""The Glue tables ``runs`` and ``coverage`` in ``template.yaml``, made from the models; ``make docs`` writes them.

Their objects are gzipped JSON lines: https://docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html
"""

from __future__ import annotations

from typing import NamedTuple

from imagelake.lake.coverage import CoverageRow, RunRow, columns
from imagelake.lake.rows import Column
from imagelake.run.frozen_model import FrozenModel

BEGIN, END = "  # ---- tables of runs: begin\n", "  # ---- tables of runs: end\n"


class Table(NamedTuple):
    """A table: its logical id, its name, a sentence about it, and the model of its rows."""

    logical_id: str
    name: str
    meaning: str
    model: type[FrozenModel]

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns but ``dt``, the partition."""
        return columns(self.model)


TABLES = (
    Table("GlueRunsTable", "runs", "One row for each run", RunRow),
    Table("GlueCoverageTable", "coverage", "One row for each run and feed", CoverageRow),
)


def with_tables(template: str) -> str:
    """Return the template with the resources of both tables between their markers."""
    head, found_begin, rest = template.partition(BEGIN)
    _, found_end, tail = rest.partition(END)
    if not (found_begin and found_end):
        raise ValueError("template.yaml has no place for the tables of runs")
    return head + BEGIN + "\n".join(map(_resource, TABLES)) + END + tail


def _resource(table: Table) -> str:
    listed = "\n".join(f'            - {{ Name: {column.name}, Type: "{column.type}" }}' for column in table.columns)
    return f"""\
  {table.logical_id}:
    Type: AWS::Glue::Table
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Ref GlueDatabase
      TableInput:
        Name: {table.name}
        Description: {table.meaning}
        TableType: EXTERNAL_TABLE
        Parameters:
          classification: json
          projection.enabled: "true"
          projection.dt.type: date
          projection.dt.format: yyyy-MM-dd
          projection.dt.range: 2026-01-01,NOW+1DAYS
          projection.dt.interval: "1"
          projection.dt.interval.unit: DAYS
          storage.location.template: !Sub "s3://${{Bucket}}/lake/{table.name}/dt=${{!dt}}"
        PartitionKeys:
          - {{ Name: dt, Type: string }}
        StorageDescriptor:
          Location: !Sub "s3://${{Bucket}}/lake/{table.name}/"
          InputFormat: org.apache.hadoop.mapred.TextInputFormat
          OutputFormat: org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat
          SerdeInfo:
            SerializationLibrary: org.openx.data.jsonserde.JsonSerDe
            # Otherwise the keys of maps would lose their capital letters.
            Parameters: {{ case.insensitive: "FALSE" }}
          Columns:
{listed}
"""
