package airflow_ml_provider

import java.io.{FileNotFoundException, IOException}
import java.net.URI
import java.util.EnumSet
import java.util.concurrent.{CompletableFuture, ConcurrentHashMap}

import scala.annotation.tailrec
import scala.jdk.CollectionConverters._

import com.fasterxml.jackson.databind.{JsonNode, ObjectMapper}
import com.fasterxml.jackson.module.scala.DefaultScalaModule
import org.apache.hadoop.conf.{Configurable, Configuration}
import org.apache.hadoop.fs._
import org.apache.hadoop.fs.Options.{ChecksumOpt, Rename}
import org.apache.hadoop.fs.impl.OpenFileParameters
import org.apache.hadoop.fs.permission.{AclEntry, FsPermission}
import org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme
import org.apache.hadoop.mapreduce.{JobContext, OutputCommitter, TaskAttemptContext}
import org.apache.hadoop.mapreduce.lib.output.{PathOutputCommitter, PathOutputCommitterFactory}
import org.apache.hadoop.security.AccessControlException
import org.apache.hadoop.util.Progressable
import org.apache.spark.SparkEnv
import org.apache.spark.internal.io.FileCommitProtocol.TaskCommitMessage
import org.apache.spark.internal.io.FileNameSpec
import org.apache.spark.sql.api.java.UDF1
import org.apache.spark.sql.execution.datasources.SQLHadoopMapReduceCommitProtocol
import org.apache.spark.util.SerializableConfiguration

/** `dbfs:/mnt/…`. ViewFS alone drops what a reader says as it opens a file: its length, which the store would be asked for again,
  * and how it will read, such as by columns.
  */
class MountFileSystem extends ViewFileSystemOverloadScheme {
  override protected def openFileWithOptions(path: Path, said: OpenFileParameters): CompletableFuture[FSDataInputStream] = {
    val mounted = makeQualified(path)
    val place = MountCommitProtocol.behind(mounted, getConf, reading = true)
    if (place == mounted) super.openFileWithOptions(path, said)
    else {
      val builder = place.getFileSystem(getConf).openFile(place)
      said.getOptionalKeys.asScala.foreach(key => builder.opt(key, said.getOptions.get(key)))
      said.getMandatoryKeys.asScala.foreach(key => builder.must(key, said.getOptions.get(key)))
      Option(said.getStatus).foreach(file => builder.withFileStatus(moved(file, place)))
      builder.build()
    }
  }

  private def moved(file: FileStatus, place: Path): FileStatus =
    new FileStatus(file.getLen, file.isDirectory, file.getReplication, file.getBlockSize, file.getModificationTime, place)
}

/** What stands behind a read-only mount: reads go to the real filesystem, nothing else does. `readonly-s3a://…` is `s3a://…`. */
class ReadOnlyFileSystem extends FilterFileSystem {
  override def initialize(name: URI, conf: Configuration): Unit = {
    val real = new URI(name.toString.stripPrefix("readonly-"))
    fs = FileSystem.get(real, conf)
    super.initialize(real, conf)
  }

  private def refuse(path: Path): Nothing = throw new AccessControlException(s"$path: it is mounted read-only")

  override def append(path: Path, buffer: Int, progress: Progressable): FSDataOutputStream = refuse(path)
  override def appendFile(path: Path): FSDataOutputStreamBuilder[_, _] = refuse(path)
  override def concat(path: Path, others: Array[Path]): Unit = refuse(path)
  override def copyFromLocalFile(move: Boolean, from: Path, path: Path): Unit = refuse(path)
  override def copyFromLocalFile(move: Boolean, over: Boolean, from: Array[Path], path: Path): Unit = refuse(path)
  override def copyFromLocalFile(move: Boolean, over: Boolean, from: Path, path: Path): Unit = refuse(path)
  override def create(
      path: Path, mode: FsPermission, over: Boolean, buffer: Int, copies: Short, block: Long, progress: Progressable
  ): FSDataOutputStream = refuse(path)
  override def create(
      path: Path, mode: FsPermission, flags: EnumSet[CreateFlag], buffer: Int, copies: Short, block: Long, progress: Progressable,
      checksum: ChecksumOpt
  ): FSDataOutputStream = refuse(path)
  override def createFile(path: Path): FSDataOutputStreamBuilder[_, _] = refuse(path)
  override def createMultipartUploader(path: Path): MultipartUploaderBuilder[_, _] = refuse(path)
  override def createNonRecursive(
      path: Path, mode: FsPermission, flags: EnumSet[CreateFlag], buffer: Int, copies: Short, block: Long, progress: Progressable
  ): FSDataOutputStream = refuse(path)
  override def createSnapshot(path: Path, name: String): Path = refuse(path)
  override def createSymlink(target: Path, path: Path, parents: Boolean): Unit = refuse(path)
  override def delete(path: Path, recursive: Boolean): Boolean = refuse(path)
  override def deleteSnapshot(path: Path, name: String): Unit = refuse(path)
  override def mkdirs(path: Path): Boolean = refuse(path)
  override def mkdirs(path: Path, mode: FsPermission): Boolean = refuse(path)
  override def modifyAclEntries(path: Path, entries: java.util.List[AclEntry]): Unit = refuse(path)
  override def removeAcl(path: Path): Unit = refuse(path)
  override def removeAclEntries(path: Path, entries: java.util.List[AclEntry]): Unit = refuse(path)
  override def removeDefaultAcl(path: Path): Unit = refuse(path)
  override def removeXAttr(path: Path, name: String): Unit = refuse(path)
  override def rename(path: Path, to: Path): Boolean = refuse(path)
  override protected def rename(path: Path, to: Path, options: Rename*): Unit = refuse(path)
  override def renameSnapshot(path: Path, from: String, to: String): Unit = refuse(path)
  override def satisfyStoragePolicy(path: Path): Unit = refuse(path)
  override def setAcl(path: Path, entries: java.util.List[AclEntry]): Unit = refuse(path)
  override def setOwner(path: Path, user: String, group: String): Unit = refuse(path)
  override def setPermission(path: Path, mode: FsPermission): Unit = refuse(path)
  override def setReplication(path: Path, copies: Short): Boolean = refuse(path)
  override def setStoragePolicy(path: Path, name: String): Unit = refuse(path)
  override def setTimes(path: Path, modified: Long, accessed: Long): Unit = refuse(path)
  override def setXAttr(path: Path, name: String, value: Array[Byte]): Unit = refuse(path)
  override def setXAttr(path: Path, name: String, value: Array[Byte], flags: EnumSet[XAttrSetFlag]): Unit = refuse(path)
  override def startLocalOutput(path: Path, local: Path): Path = refuse(path)
  override def truncate(path: Path, length: Long): Boolean = refuse(path)
  override def unsetStoragePolicy(path: Path): Unit = refuse(path)

  /** The real filesystem is shared: whoever opened it closes it. */
  override def close(): Unit = ()
}

/** Commits with the committer of the store behind a mount, which knows nothing of mounts; without one, as Spark does by itself.
  *
  * No store makes many files appear at once, so what a job writes into a mount is unfinished until all of it is there, and
  * [[FinishedFilter]] keeps it from readers. A job that dies in its commit leaves nothing that they see, and one that fails takes
  * back what it has. Overwriting partitions dynamically stays Spark's own way of committing: it must move what is there.
  */
class MountCommitProtocol(jobId: String, path: String, dynamicPartitionOverwrite: Boolean = false)
    extends SQLHadoopMapReduceCommitProtocol(jobId, path, dynamicPartitionOverwrite) {

  @transient private var direct: PathOutputCommitter = _
  @transient private var tellsSuccess = false
  @transient private lazy val output = new Path(path)
  @transient private lazy val mounted = MountCommitProtocol.isMounted(output)

  /** Committers tell jobs apart by this, on the driver and on executors; Spark itself sets another one between setup and commit. */
  private def identify(conf: Configuration): Unit = {
    conf.set("spark.sql.sources.writeJobUUID", jobId)
    if (mounted) {
      conf.setBoolean(MountCommitProtocol.Success, false) // this class tells it, once readers see the output
      conf.setBoolean("mapreduce.fileoutputcommitter.cleanup.skipped", true) // it would take other jobs' files too
    }
  }

  override def setupJob(context: JobContext): Unit = {
    tellsSuccess = context.getConfiguration.getBoolean(MountCommitProtocol.Success, true)
    identify(context.getConfiguration)
    super.setupJob(context)
  }

  override def commitJob(context: JobContext, tasks: Seq[TaskCommitMessage]): Unit = {
    val conf = context.getConfiguration
    identify(conf)
    if (!mounted) super.commitJob(context, tasks)
    else {
      val unfinished = Unfinished.of(output, jobId, conf)
      unfinished.begin()
      super.commitJob(context, tasks)
      clean(conf)
      unfinished.end()
      if (tellsSuccess) tellSuccess(conf)
    }
  }

  override def abortJob(context: JobContext): Unit = {
    identify(context.getConfiguration)
    super.abortJob(context)
    if (mounted) {
      clean(context.getConfiguration)
      Unfinished.of(output, jobId, context.getConfiguration).undo()
    }
  }

  /** Old output goes before new output comes. What dead jobs left goes first: seen without its mark, it would be a part. */
  override def deleteWithJob(fs: FileSystem, old: Path, recursive: Boolean): Boolean = {
    if (MountCommitProtocol.isMounted(old)) Unfinished.below(old, fs.getConf).foreach(_.undo())
    super.deleteWithJob(fs, old, recursive)
  }

  override protected def setupCommitter(context: TaskAttemptContext): OutputCommitter = {
    identify(context.getConfiguration)
    val place = MountCommitProtocol.behind(output, context.getConfiguration)
    MountCommitProtocol.factory(output, place, context.getConfiguration) match {
      case Some(factory) if !dynamicPartitionOverwrite =>
        direct = factory.createOutputCommitter(place, context)
        direct
      case _ => super.setupCommitter(context)
    }
  }

  override def newTaskTempFile(context: TaskAttemptContext, folder: Option[String], name: FileNameSpec): String =
    if (direct == null) super.newTaskTempFile(context, folder, name)
    else new Path(folder.fold(direct.getWorkPath)(new Path(direct.getWorkPath, _)), getFilename(context, name)).toString

  /** Remove what this job alone has in `_temporary`, and that folder once it is empty. */
  private def clean(conf: Configuration): Unit = if (!dynamicPartitionOverwrite) {
    val temporary = new Path(output, "_temporary")
    val fs = output.getFileSystem(conf)
    if (fs.delete(new Path(temporary, jobId), true)) Unfinished.removeEmpty(fs, temporary)
  }

  private def tellSuccess(conf: Configuration): Unit = {
    val (fs, success) = (output.getFileSystem(conf), new Path(output, "_SUCCESS"))
    val committer = Option(direct).fold("Spark")(_.getClass.getSimpleName)
    try {
      val file = fs.create(success, true)
      try file.writeBytes(s"""{"job": "$jobId", "committer": "$committer"}""")
      finally file.close()
    } catch { case _: IOException if fs.exists(success) => () } // another job has told it meanwhile
  }
}

object MountCommitProtocol {
  private val Mounted = "/mnt/([^/]+)/*(.*)".r
  private val Manifest = "org.apache.hadoop.mapreduce.lib.output.committer.manifest.ManifestCommitterFactory"
  private val Success = "mapreduce.fileoutputcommitter.marksuccessfuljobs"

  def isMounted(path: Path): Boolean = path.toUri.getScheme == "dbfs" && Mounted.pattern.matcher(path.toUri.getPath).matches

  /** The store's own committer. A mount of a store that has none takes the one that keeps each job's files apart. */
  def factory(path: Path, place: Path, conf: Configuration): Option[PathOutputCommitterFactory] = {
    val key = s"mapreduce.outputcommitter.factory.scheme.${place.toUri.getScheme}"
    if (conf.get(key) == null && isMounted(path)) conf.set(key, Manifest)
    Some(place).filter(_ => conf.get(key) != null).map(PathOutputCommitterFactory.getCommitterFactory(_, conf))
  }

  /** The place in the store that a path of a mount stands for; any other path is its own, and to a writer one of a read-only mount. */
  def behind(path: Path, conf: Configuration, reading: Boolean = false): Path = path.toUri.getPath match {
    case Mounted(name, rest) if path.toUri.getScheme == "dbfs" =>
      val link = Option(conf.get(s"fs.viewfs.mounttable.default.link./mnt/$name"))
      link.filter(reading || !_.startsWith("readonly-")).fold(path) { link =>
        val root = new Path(new URI(link.stripPrefix("readonly-")))
        if (rest.isEmpty) root else new Path(root, new Path(null, null, rest))
      }
    case _ => path
  }
}

/** The output of a job that is not all there yet: `mark` is a file from before its first file appears until its last one has. */
class Unfinished(output: Path, job: String, mark: Path, conf: Configuration) {
  private lazy val fs = output.getFileSystem(conf)

  def begin(): Unit =
    try fs.create(mark, true).close()
    catch { case _: FileNotFoundException => fs.create(mark, true).close() } // another job has just removed the empty folder

  def end(): Unit = {
    fs.delete(mark, false)
    Iterator.iterate(mark.getParent)(_.getParent).takeWhile(_ != Unfinished.table(output)).foreach(Unfinished.removeEmpty(fs, _))
  }

  /** Remove what there is of the output, and then the mark. */
  def undo(): Unit = if (fs.exists(mark)) {
    Unfinished.files(fs, output).filter(file => Unfinished.jobOf(file).contains(job)).foreach(fs.delete(_, false))
    end()
  }
}

/** Marks lie in `_unfinished` of the table, below the names of the partitions that the job wrote to. */
object Unfinished {
  private val Folder = "_unfinished"
  private val Job = ".*-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})[-._].*".r

  def of(output: Path, job: String, conf: Configuration): Unfinished =
    new Unfinished(output, job, new Path(folder(output), job), conf)

  /** All of a place and what lies below it. */
  def below(place: Path, conf: Configuration): Seq[Unfinished] =
    files(place.getFileSystem(conf), folder(place)).map { mark =>
      new Unfinished(within(table(place), new Path(table(place), Folder), mark.getParent), mark.getName, mark, conf)
    }

  /** The names of the jobs that are at work on a table, or died. */
  def jobs(table: Path, conf: Configuration): Set[String] =
    files(table.getFileSystem(conf), folder(table)).map(_.getName).toSet

  /** The job that wrote a file, which Spark has in the file's name. */
  def jobOf(file: Path): Option[String] = file.getName match {
    case Job(job) => Some(job)
    case _ => None
  }

  /** The folder that a partition such as `day=1/hour=2` lies in. */
  @tailrec def table(place: Path): Path =
    if (place.getName.contains('=') && !place.getParent.isRoot) table(place.getParent) else place

  def removeEmpty(fs: FileSystem, folder: Path): Unit =
    try fs.delete(folder, false)
    catch { case _: IOException => () } // it is not empty: another job is at work

  def files(fs: FileSystem, folder: Path): Seq[Path] =
    try {
      val found = fs.listFiles(folder, true)
      Iterator.continually(found).takeWhile(_.hasNext).map(_.next().getPath).toList
    } catch { case _: FileNotFoundException => Nil }

  private def folder(output: Path): Path = within(new Path(table(output), Folder), table(output), output)

  /** What `path` is below `base`, below `other`. */
  private def within(other: Path, base: Path, path: Path): Path = {
    val rest = base.toUri.relativize(path.toUri).getPath
    if (path == base) other else new Path(other, new Path(null, null, rest))
  }
}

/** Shows readers of mounts the files of finished jobs only. One listing has one filter, which looks once at each table. */
class FinishedFilter extends PathFilter with Configurable with Serializable {
  private var conf: SerializableConfiguration = _
  private val unfinished = new ConcurrentHashMap[Path, Set[String]]

  override def setConf(given: Configuration): Unit = conf = new SerializableConfiguration(given)
  override def getConf: Configuration = conf.value

  override def accept(file: Path): Boolean = !MountCommitProtocol.isMounted(file) || Unfinished.jobOf(file).forall { job =>
    !unfinished.computeIfAbsent(Unfinished.table(file.getParent), Unfinished.jobs(_, getConf)).contains(job)
  }
}

/** One command of `dbutils.fs`, for programs that have no JVM at hand: a function of SQL that is asked, and answers, in JSON.
  *
  * What goes wrong is an answer too: a task that failed would be tried again, and the command done twice.
  */
class FileCommand extends UDF1[String, String] {
  override def call(asked: String): String = FileCommand.Json.writeValueAsString(
    try Map("value" -> FileCommand.run(FileCommand.Json.readTree(asked)))
    catch { case error: IOException => Map("error" -> error.getClass.getSimpleName, "message" -> String.valueOf(error.getMessage)) }
  )
}

object FileCommand {
  private val Json = new ObjectMapper().registerModule(DefaultScalaModule)
  private val Hadoop = "spark.hadoop."

  private def run(asked: JsonNode): Any = {
    val conf = new Configuration
    SparkEnv.get.conf.getAll.foreach { case (key, value) => if (key.startsWith(Hadoop)) conf.set(key.stripPrefix(Hadoop), value) }
    val path = new Path(asked.get("path").textValue)
    val fs = path.getFileSystem(conf)
    asked.get("command").textValue match {
      case "ls" => fs.listStatus(path).map(entry)
      case "head" => head(fs, path, asked.get("size").intValue)
      case "put" => put(fs, path, asked.get("data").binaryValue, asked.get("overwrite").booleanValue)
      case "mkdirs" => fs.mkdirs(path)
      case "rm" => fs.delete(path, asked.get("recurse").booleanValue)
      case "cp" =>
        if (fs.getFileStatus(path).isDirectory && !asked.get("recurse").booleanValue) throw new PathIsDirectoryException(path.toString)
        val to = new Path(asked.get("to").textValue)
        FileUtil.copy(fs, path, to.getFileSystem(conf), to, false, conf)
    }
  }

  private def entry(status: FileStatus): Map[String, Any] = {
    val slash = if (status.isDirectory) "/" else ""
    val (path, name) = (s"${status.getPath}$slash", s"${status.getPath.getName}$slash")
    Map("path" -> path, "name" -> name, "size" -> status.getLen, "modificationTime" -> status.getModificationTime)
  }

  private def head(fs: FileSystem, path: Path, size: Int): Array[Byte] = {
    val stream = fs.open(path)
    try stream.readNBytes(size)
    finally stream.close()
  }

  private def put(fs: FileSystem, path: Path, data: Array[Byte], overwrite: Boolean): Boolean = {
    val stream = fs.create(path, overwrite)
    try stream.write(data)
    finally stream.close()
    true
  }
}
