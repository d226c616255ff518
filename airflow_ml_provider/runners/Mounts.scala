package airflow_ml_provider

import java.net.URI
import java.util.EnumSet

import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs._
import org.apache.hadoop.fs.Options.{ChecksumOpt, Rename}
import org.apache.hadoop.fs.permission.{AclEntry, FsPermission}
import org.apache.hadoop.mapreduce.{JobContext, OutputCommitter, TaskAttemptContext}
import org.apache.hadoop.mapreduce.lib.output.{PathOutputCommitter, PathOutputCommitterFactory}
import org.apache.hadoop.security.AccessControlException
import org.apache.hadoop.util.Progressable
import org.apache.spark.internal.io.FileCommitProtocol.TaskCommitMessage
import org.apache.spark.internal.io.FileNameSpec
import org.apache.spark.sql.execution.datasources.SQLHadoopMapReduceCommitProtocol

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
  * Overwriting partitions dynamically stays Spark's own way too: it must move what is there.
  */
class MountCommitProtocol(jobId: String, path: String, dynamicPartitionOverwrite: Boolean = false)
    extends SQLHadoopMapReduceCommitProtocol(jobId, path, dynamicPartitionOverwrite) {

  @transient private var direct: PathOutputCommitter = _

  /** Committers tell jobs apart by this, on the driver and on executors; Spark itself sets another one between setup and commit. */
  private def identify(conf: Configuration): Unit = conf.set("spark.sql.sources.writeJobUUID", jobId)

  override def setupJob(context: JobContext): Unit = {
    identify(context.getConfiguration)
    super.setupJob(context)
  }

  override def commitJob(context: JobContext, tasks: Seq[TaskCommitMessage]): Unit = {
    identify(context.getConfiguration)
    super.commitJob(context, tasks)
  }

  override def abortJob(context: JobContext): Unit = {
    identify(context.getConfiguration)
    super.abortJob(context)
  }

  override protected def setupCommitter(context: TaskAttemptContext): OutputCommitter = {
    identify(context.getConfiguration)
    val place = MountCommitProtocol.behind(new Path(path), context.getConfiguration)
    if (dynamicPartitionOverwrite || !MountCommitProtocol.hasCommitter(place, context.getConfiguration)) {
      super.setupCommitter(context)
    } else {
      direct = PathOutputCommitterFactory.createCommitter(place, context)
      direct
    }
  }

  override def newTaskTempFile(context: TaskAttemptContext, folder: Option[String], name: FileNameSpec): String =
    if (direct == null) super.newTaskTempFile(context, folder, name)
    else new Path(folder.fold(direct.getWorkPath)(new Path(direct.getWorkPath, _)), getFilename(context, name)).toString
}

object MountCommitProtocol {
  private val Mounted = "/mnt/([^/]+)/*(.*)".r

  def hasCommitter(place: Path, conf: Configuration): Boolean =
    conf.get(s"mapreduce.outputcommitter.factory.scheme.${place.toUri.getScheme}") != null

  /** The place in the store that a path of a mount stands for; any other path is its own. */
  def behind(path: Path, conf: Configuration): Path = path.toUri.getPath match {
    case Mounted(name, rest) if path.toUri.getScheme == "dbfs" =>
      Option(conf.get(s"fs.viewfs.mounttable.default.link./mnt/$name")).fold(path) { link =>
        val root = new Path(new URI(link))
        if (rest.isEmpty) root else new Path(root, new Path(null, null, rest))
      }
    case _ => path
  }
}
