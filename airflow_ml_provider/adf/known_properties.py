"""What becomes of each property of activities and triggers: honoured, without effect on the result here, or refused.

The names are those of Microsoft's SDK; a test compares them. A property that is not set, or set to what Data Factory does anyway, is
never refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_ml_provider.adf.fields import bag, pick
from airflow_ml_provider.adf.model import Activity, Json


@dataclass(frozen=True)
class Known:
    """The properties of one object of an export.

    :param honoured: what runs here does what they ask for.
    :param idle: they change how Data Factory works, and not what comes out: threads, staging, retries of single requests.
    :param refused: they would change what comes out, and do not run here.
    """

    honoured: frozenset[str]
    idle: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()


def _known(honoured: str, idle: str = "", refused: str = "") -> Known:
    return Known(*(frozenset(names.split()) for names in (honoured, idle, refused)))


_SPARK = "conf driverSize executorSize numExecutors sparkConfig"
ACTIVITIES: dict[str, Known] = {
    "AppendVariable": _known("value variableName"),
    "AzureFunctionActivity": _known("body functionName headers method"),
    "Copy": _known(
        "logSettings sink skipErrorFile source translator validateDataConsistency",
        "dataIntegrationUnits enableStaging parallelCopies stagingSettings",
        "enableSkipIncompatibleRow logStorageSettings preserve preserveRules redirectIncompatibleRowSettings",
    ),
    "DatabricksJob": _known("jobId jobParameters"),
    "DatabricksNotebook": _known("baseParameters libraries notebookPath"),
    "DatabricksSparkJar": _known("libraries mainClassName parameters"),
    "DatabricksSparkPython": _known("libraries parameters pythonFile"),
    "Delete": _known("dataset enableLogging logStorageSettings recursive storeSettings", "maxConcurrentConnections"),
    "ExecutePipeline": _known("parameters pipeline waitOnCompletion"),
    "Fail": _known("errorCode message"),
    "Filter": _known("condition items"),
    "ForEach": _known("activities batchCount isSequential items"),
    "GetMetadata": _known("dataset fieldList formatSettings storeSettings"),
    "HDInsightSpark": _known(
        "arguments className entryFilePath rootPath sparkConfig", "getDebugInfo proxyUser sparkJobLinkedService"
    ),
    "IfCondition": _known("expression ifFalseActivities ifTrueActivities"),
    "Lookup": _known("dataset firstRowOnly source", "", "treatDecimalAsString"),
    "Script": _known("scriptBlockExecutionTimeout scripts", "", "logSettings returnMultistatementResult treatDecimalAsString"),
    "SetVariable": _known("setSystemVariable value variableName"),
    "SparkJob": _known(
        f"args className file sparkJob targetBigDataPool {_SPARK}",
        "scanFolder",
        "configurationType files filesV2 pythonCodeReference targetSparkConfiguration",
    ),
    "SqlServerStoredProcedure": _known("storedProcedureName storedProcedureParameters"),
    "Switch": _known("cases defaultActivities on"),
    "SynapseNotebook": _known(f"notebook parameters sparkPool {_SPARK}", "", "configurationType targetSparkConfiguration"),
    "Until": _known("activities expression timeout"),
    "Validation": _known("childItems dataset minimumSize sleep timeout"),
    "Wait": _known("waitTimeInSeconds"),
    "WebActivity": _known(
        "authentication body disableCertValidation headers httpRequestTimeout method turnOffAsync url",
        "connectVia",
        "datasets linkedServices",
    ),
    "WebHook": _known("authentication body headers method reportStatusOnCallBack timeout url"),
}
"""By type of activity: its type properties."""

SOURCE = _known(
    "additionalColumns additionalHeaders formatSettings httpRequestTimeout oracleReaderQuery paginationRules query queryTimeout recursive "
    "isolationLevel requestBody requestInterval requestMethod sqlReaderQuery sqlReaderStoredProcedureName storeSettings storedProcedureParameters",
    "batchSize disableMetricsCollection distcpSettings exportSettings maxConcurrentConnections packetSize pageSize partitionOption "
    "partitionSettings preferredRegions redshiftUnloadSettings sourceRetryCount sourceRetryWait",
    "SOQLQuery allowedGroups azureTableSourceIgnoreTableNotFound azureTableSourceQuery baseRequestId consistencyLevel cursorMethods "
    "customRfcReadTableFunctionModule dateFilterColumn detectDatetime endTime excludeLastRequest expression extractionMode filter "
    "includeDeletedObjects nestingSeparator noTruncation numberPrecision numberScale outputColumns "
    "produceAdditionalTypes projection readBehavior rfcTableFields rfcTableOptions rowCount rowSkips sapDataColumnDelimiter selection "
    "skipHeaderLineCount startTime subscriberProcess timestampAsOf treatEmptyAsNull userScopeFilterUri versionAsOf",
)
SINK = _known(
    "copyBehavior formatSettings preCopyScript storeSettings tableOption upsertSettings writeBehavior",
    "allowCopyCommand allowPolyBase blobWriterOverwriteFiles copyCommandSettings disableMetricsCollection enableAdlsSingleFileParallel "
    "flushImmediately importSettings maxConcurrentConnections partitionOption polyBaseSettings sinkRetryCount sinkRetryWait "
    "sqlWriterUseTableLock writeBatchSize writeBatchTimeout writeMethod",
    "additionalHeaders alternateKeyName azureTableDefaultPartitionKeyValue azureTableInsertType azureTablePartitionKeyName "
    "azureTableRowKeyName blobWriterAddHeader blobWriterDateTimeFormat bypassBusinessLogicExecution bypassPowerAutomateFlows "
    "externalIdFieldName httpCompressionType httpRequestTimeout ignoreNullValues ingestionMappingAsJson ingestionMappingName metadata "
    "nestingSeparator partitionNameList requestInterval requestMethod sqlWriterStoredProcedureName sqlWriterTableType "
    "storedProcedureParameters storedProcedureTableTypeParameterName tableActionOption",
)
STORE_READ = _known(
    "additionalHeaders deleteFilesAfterCompletion modifiedDatetimeEnd modifiedDatetimeStart prefix recursive requestBody requestMethod "
    "requestTimeout wildcardFileName wildcardFolderPath",
    "disableChunking disableMetricsCollection distcpSettings maxConcurrentConnections useBinaryTransfer",
    "additionalColumns enablePartitionDiscovery fileFilter fileListPath listAfter listBefore partitionRootPath",
)
STORE_WRITE = _known(
    "copyBehavior",
    "blockSizeInMB disableMetricsCollection maxConcurrentConnections operationTimeout useTempFileRename",
    "expiryDateTime metadata",
)
FORMAT_READ = _known("compressionProperties skipLineCount", "", "detectDataType namespacePrefixes namespaces validationMode")
FORMAT_WRITE = _known("fileExtension filePattern quoteAllText", "", "fileNamePrefix maxRowsPerFile recordName recordNamespace")
TYPE_CONVERSION = _known(
    "", "allowDataTruncation", "culture dateTimeFormat dateTimeOffsetFormat timeSpanFormat treatBooleanAsNumber"
)
LOG_OF_LOADING = _known("", "rejectType rejectSampleValue useTypeDefault", "rejectValue")

TRIGGERS: dict[str, Known] = {
    "BlobEventsTrigger": _known("blobPathBeginsWith blobPathEndsWith events ignoreEmptyBlobs scope"),
    "CustomEventsTrigger": _known("events scope subjectBeginsWith subjectEndsWith", "", "advancedFilters"),
    "ScheduleTrigger": _known("recurrence"),
    "TumblingWindowTrigger": _known("delay dependsOn endTime frequency interval maxConcurrency retryPolicy startTime"),
}
"""By type of trigger. ``advancedFilters`` is in the portal, and not in the SDK."""

_DEFAULTS: dict[str, tuple[Json, ...]] = {
    "configurationType": ("Default",),
    "detectDataType": (True,),
    "namespaces": (True,),
    "rejectValue": (0, "0"),
    "treatEmptyAsNull": (True,),
    "validationMode": ("none",),
}
"""Values that ask for what happens anyway."""
_NOTHING: tuple[Json, ...] = (None, False, 0, "", "false", "False", [], {})
_OLD = {name.casefold(): known for name, known in ACTIVITIES.items()} | {
    "sqlpoolstoredprocedure": ACTIVITIES["SqlServerStoredProcedure"]
}
_TRIGGERS = {name.casefold(): known for name, known in TRIGGERS.items()}


def refused_properties(activity: Activity) -> Iterator[str]:
    """Why an activity does not run, for each of its properties that is refused."""
    properties, kind = activity.type_properties, activity.type.casefold()
    if activity.task or kind not in _OLD:
        return
    yield from _refused(_OLD[kind], properties, "")
    source, sink = bag(properties, "source"), bag(properties, "sink")
    yield from _refused(STORE_READ, bag(properties, "storeSettings"), "storeSettings.")
    if kind in ("copy", "lookup"):
        yield from _refused(SOURCE, source, "source.")
        yield from _refused(STORE_READ, bag(source, "storeSettings"), "storeSettings.")
        yield from _refused(FORMAT_READ, bag(source, "formatSettings"), "formatSettings.")
    if kind == "copy":
        yield from _refused(SINK, sink, "sink.")
        yield from _refused(STORE_WRITE, bag(sink, "storeSettings"), "storeSettings.")
        yield from _refused(FORMAT_WRITE, bag(sink, "formatSettings"), "formatSettings.")
        yield from _refused(LOG_OF_LOADING, bag(sink, "polyBaseSettings"), "polyBaseSettings.")
        conversion = bag(bag(properties, "translator"), "typeConversionSettings")
        yield from _refused(TYPE_CONVERSION, conversion, "typeConversionSettings.")


def refused_of_trigger(kind: str, properties: Mapping[str, Json]) -> Iterator[str]:
    """Why a trigger starts nothing, for each of its properties that is refused."""
    known = _TRIGGERS.get(kind.casefold())
    yield from _refused(known, properties, "") if known else ()


def _refused(known: Known, properties: Mapping[str, Json], where: str) -> Iterator[str]:
    for name in sorted(known.refused):
        value = pick(properties, name)
        if not any(value == one and type(value) is type(one) for one in (*_NOTHING, *_DEFAULTS.get(name, ()))) and not _is_off(
            value
        ):
            yield f"{where}{name}: does not run here: remove it, or do what it asks for in another activity"


def _is_off(value: Json) -> bool:
    """Whether all that an object switches is off, such as ``{"fileMissing": false}``."""
    return isinstance(value, Mapping) and all(one in (False, None) for one in value.values())
