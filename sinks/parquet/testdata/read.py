"""read.py READER QUESTIONS: answers what a reader of the lake shows, as JSON on standard output.

QUESTIONS is a file: [{"path", "files", "columns": [{"name", "type"}], "filters": [[column, operator, literal]]}].
A question with "sql" runs those statements first and asks the view "source" that they make; one with "code"
and "lake" runs lines of docs/reading.md instead. A text longer than 256 bytes is shown as its digest. An answer has all rows, each value as text of one form for all readers, and for each filter the ids of its rows.
LAKE_STORE in the environment is the options of an object store, as delta-rs takes them; paths are s3://bucket/… then."""
import datetime, decimal, glob, hashlib, json, os, sys

store = json.loads(os.environ.get('LAKE_STORE', 'null'))


def show(v):
    if v is None:
        return None
    if isinstance(v, (bytes, bytearray)):
        return bytes(v).hex()
    if isinstance(v, bool):
        return str(int(v))
    if isinstance(v, decimal.Decimal):
        return format(v, 'f')
    if isinstance(v, float):
        return repr(v)
    if isinstance(v, datetime.datetime):
        if v.tzinfo is not None:
            v = v.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return v.isoformat(' ', 'microseconds')
    if isinstance(v, datetime.date):
        return v.isoformat()
    if isinstance(v, str) and len(v.encode()) > 256:
        return hashlib.sha256(v.encode()).hexdigest()
    return str(v)


def typed(typ, v):
    """ClickHouse hands text over as bytes, and Spark small decimals with more digits than their type has."""
    if typ == 'string' and isinstance(v, bytes):
        return v.decode()
    if typ.startswith('decimal') and v is not None:
        with decimal.localcontext(prec=60):
            return v.quantize(decimal.Decimal(1).scaleb(-int(typ.rstrip(')').split(',')[1])))
    return v


class SQL:
    """A reader that speaks SQL. Dialects differ in quotes and literals."""
    quote = '"'
    batch = 1  # filters that one statement asks for

    def name(self, column):
        return self.quote + column.replace(self.quote, 2 * self.quote) + self.quote

    def text(self, s):
        return "'" + s.replace("'", "''") + "'"

    def literal(self, typ, value):
        if typ.startswith('decimal'):
            return "CAST('%s' AS %s)" % (value, typ)
        if typ == 'string':
            return self.text(value)
        if typ == 'date':
            return "DATE '%s'" % value
        if typ == 'timestamp_ntz':
            return "TIMESTAMP '%s'" % value
        if typ == 'timestamp':
            return "TIMESTAMP '%s+00:00'" % value
        return value

    def answer(self, q):
        types = {c['name']: c['type'] for c in q['columns']}
        source = self.open(q)
        for s in q.get('sql', []):
            self.do(s.rstrip(';'))
            source = q['source']
        rows = self.run('SELECT %s FROM %s' % (', '.join(self.name(c) for c in types), source))
        found = []
        for at in range(0, len(q['filters']), self.batch):
            asked = []
            for column, op, value in q['filters'][at:at + self.batch]:
                where = self.name(column) + ' ' + op + (' ' + self.literal(types[column], value) if value is not None else '')
                asked.append('SELECT %d AS asked__, id FROM %s WHERE %s' % (len(asked), source, where))
            ids = [[] for _ in asked]
            for r in self.run(' UNION ALL '.join(asked)):
                ids[r['asked__']].append(r['id'])
            found += [sorted(i) for i in ids]
        return {'rows': [{c: show(typed(types[c], v)) for c, v in r.items()} for r in rows], 'filters': found}


class DuckDB(SQL):
    def __init__(self):
        import duckdb
        self.db = duckdb.connect()
        self.db.execute("SET TimeZone='UTC'")
        if store:  # DuckDB's own reader of Parquet; its own client of S3 is a download
            import pyarrow.fs
            from fsspec.implementations.arrow import ArrowFSWrapper
            scheme, _, host = store['AWS_ENDPOINT_URL'].partition('://')
            s3 = ArrowFSWrapper(pyarrow.fs.S3FileSystem(access_key=store['AWS_ACCESS_KEY_ID'], secret_key=store['AWS_SECRET_ACCESS_KEY'],
                                                        endpoint_override=host, scheme=scheme, region=store['AWS_REGION']))
            self.db.register_filesystem(s3)

    def open(self, q):
        if not q['files']:
            raise LookupError('a table without files')
        return 'read_parquet([%s], union_by_name=true, hive_partitioning=true)' % ', '.join(self.text(f) for f in q['files'])

    def run(self, sql):
        out = self.db.execute(sql)
        return (out.to_arrow_table() if hasattr(out, 'to_arrow_table') else out.fetch_arrow_table()).to_pylist()


class DuckDBDelta(DuckDB):
    """DuckDB with its extension for Delta Lake, which views/duckdb.sql loads."""

    def __init__(self):
        import duckdb, duckdb_ext
        self.db = duckdb.connect(config={'extension_directory': os.environ['WORK'] + '/extensions'})
        at = os.path.join(list(duckdb_ext.__path__)[0], 'extensions', 'v' + duckdb.__version__, '*', 'delta.duckdb_extension')
        self.db.execute("INSTALL '%s'; LOAD delta; SET TimeZone='UTC'" % glob.glob(at)[0])

    def do(self, sql):
        self.db.execute(sql)

    def open(self, q):
        return 'delta_scan(%s)' % self.text(q['path'])


class Deltalake(SQL):
    """delta-rs with its own engine, DataFusion."""

    def open(self, q):
        from deltalake import DeltaTable, QueryBuilder
        self.db = QueryBuilder().register('t', DeltaTable(q['path'], storage_options=store))
        return 't'

    def run(self, sql):
        import pyarrow
        out = self.db.execute(sql)
        out = out.read_all() if hasattr(out, 'read_all') else out
        return pyarrow.table(out).to_pylist()


class ClickHouse(SQL):
    quote = '`'

    def __init__(self):
        import chdb
        self.db = chdb.connect(':memory:')

    def literal(self, typ, value):
        if typ.startswith('decimal'):
            return "toDecimal128('%s', %s)" % (value, typ.rstrip(')').split(',')[1])
        if typ == 'date':
            return "toDate32('%s')" % value
        if typ.startswith('timestamp'):
            return "toDateTime64('%s', 6, 'UTC')" % value
        if typ == 'string':
            return "'" + value.replace('\\', '\\\\').replace("'", "\\'") + "'"
        return value

    def open(self, q):
        if store:
            url = store['AWS_ENDPOINT_URL'] + q['path'].removeprefix('s3:/') + '/'
            return 'deltaLake(%s, %s, %s)' % (self.text(url), self.text(store['AWS_ACCESS_KEY_ID']), self.text(store['AWS_SECRET_ACCESS_KEY']))
        os.chdir(os.path.dirname(q['path']))
        return 'deltaLakeLocal(%s)' % self.text(q['path'])

    def do(self, sql):
        self.db.query(sql)

    def run(self, sql):
        import pyarrow
        out = self.db.query(sql + ' SETTINGS output_format_arrow_string_as_string=0', 'ArrowStream')
        return pyarrow.ipc.open_stream(out.bytes()).read_all().to_pylist()


class Spark(SQL):
    quote = '`'
    batch = 12

    def __init__(self):
        from pyspark.sql import SparkSession
        self.db = (SparkSession.builder.master('local[1]').config('spark.jars', ','.join(glob.glob(os.environ['JARS'] + '/*.jar')))
                   .config('spark.ui.enabled', 'false').config('spark.sql.extensions', 'io.delta.sql.DeltaSparkSessionExtension')
                   .config('spark.sql.catalog.spark_catalog', 'org.apache.spark.sql.delta.catalog.DeltaCatalog')
                   .config('spark.sql.session.timeZone', 'UTC').config('spark.sql.shuffle.partitions', '1')
                   # Queries of a few rows: what the JVM and Spark spend on making them fast takes longer than they do.
                   .config('spark.driver.extraJavaOptions', '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC')
                   .config('spark.sql.codegen.wholeStage', 'false').config('spark.sql.codegen.factoryMode', 'NO_CODEGEN')
                   .config('spark.sql.adaptive.enabled', 'false')
                   .config('spark.databricks.delta.snapshotPartitions', '1').config('spark.driver.bindAddress', '127.0.0.1')
                   .config('spark.driver.host', '127.0.0.1').config('spark.sql.warehouse.dir', os.environ['WORK'] + '/warehouse').getOrCreate())
        self.db.sparkContext.setLogLevel('OFF')

    def text(self, s):
        return "'" + s.replace('\\', '\\\\').replace("'", "\\'") + "'"

    def literal(self, typ, value):
        if typ == 'timestamp_ntz':
            return "TIMESTAMP_NTZ '%s'" % value
        if typ in ('long', 'integer'):
            return value + 'L'
        return SQL.literal(self, typ, value)

    def open(self, q):
        return 'delta.`%s`' % q['path']

    def do(self, sql):
        self.db.sql(sql)

    def run(self, sql):
        return [r.asDict() for r in self.db.sql(sql).collect()]


class Polars:
    def answer(self, q):
        import polars as pl
        types = {c['name']: c['type'] for c in q['columns']}
        t = pl.scan_delta(q['path'], storage_options=store)
        found = []
        for column, op, value in q['filters']:
            c = pl.col(column)
            if value is None:
                e = c.is_null() if op == 'IS NULL' else c.is_not_null()
            else:
                e = c == python(types[column], value) if op == '=' else c < python(types[column], value)
            found.append(sorted(t.filter(e).select('id').collect()['id'].to_list()))
        return {'rows': [{k: show(v) for k, v in r.items()} for r in t.select(list(types)).collect().to_dicts()], 'filters': found}


def python(typ, value):
    if typ.startswith('decimal'):
        return decimal.Decimal(value)
    if typ == 'date':
        return datetime.date.fromisoformat(value)
    if typ == 'timestamp_ntz':
        return datetime.datetime.fromisoformat(value)
    if typ == 'timestamp':
        return datetime.datetime.fromisoformat(value).replace(tzinfo=datetime.timezone.utc)
    if typ in ('float', 'double'):
        return float(value)
    return value if typ == 'string' else int(value)


class PyArrow:
    def answer(self, q):
        import pyarrow as pa, pyarrow.dataset as ds
        from deltalake import DeltaTable
        types = {c['name']: c['type'] for c in q['columns']}
        t = DeltaTable(q['path'], storage_options=store).to_pyarrow_dataset()
        found = []
        for column, op, value in q['filters']:
            c = ds.field(column)
            if value is None:
                e = c.is_null() if op == 'IS NULL' else c.is_valid()
            else:
                v = pa.scalar(python(types[column], value), t.schema.field(column).type)
                e = c == v if op == '=' else c < v
            found.append(sorted(t.to_table(columns=['id'], filter=e)['id'].to_pylist()))
        return {'rows': [{k: show(v) for k, v in r.items()} for r in t.to_table(columns=list(types)).to_pylist()], 'filters': found}


def lines(q):
    """Runs lines of docs/reading.md and counts what they give."""
    names = {'LAKE': q['lake'], 'spark': getattr(reader, 'db', None)}
    exec(q['code'], names)
    df = names['df']
    if isinstance(df, list):
        n = df[0][0]
    elif sys.argv[1].startswith('spark'):
        n = df.count()
    elif sys.argv[1] == 'clickhouse':
        n = str(df)
    else:
        n = len(df)
    return {'rows': [], 'filters': [[int(n)]]}


readers = {'deltalake': Deltalake, 'pyarrow': PyArrow, 'polars': Polars, 'duckdb': DuckDB, 'duckdbdelta': DuckDBDelta, 'clickhouse': ClickHouse, 'spark3': Spark, 'spark4': Spark}
reader = readers[sys.argv[1]]()
answers = []
for q in json.load(open(sys.argv[2])):
    try:
        answers.append(lines(q) if q.get('code') else reader.answer(q))
    except Exception as e:
        answers.append({'error': '%s: %s' % (type(e).__name__, ' '.join(str(e).split())[:600])})
json.dump(answers, sys.stdout)
sys.stdout.flush()
os._exit(0)
