// What every Scala cell of a notebook finds without an import. Executors run it too: there nothing of it may be looked for.

@transient lazy val spark = org.apache.spark.sql.SparkSession.active
@transient lazy val sc = spark.sparkContext
@transient lazy val sqlContext = spark.sqlContext
import spark.implicits._
import spark.sql
import org.apache.spark.sql.functions._

class NotebookExit extends Error("the notebook has ended")

// The notebook's Python, which answers for `dbutils`.
@transient val notebookPython =
  System.getProperties.remove("airflow_ml.notebook").asInstanceOf[java.util.function.Function[AnyRef, java.util.List[AnyRef]]]

object Notebook extends Serializable {
  import scala.jdk.CollectionConverters._
  def ask(command: String, arguments: Any*): Any = {
    val answer = notebookPython.apply((command +: arguments).map(plain).asJava)
    if (!answer.get(0).asInstanceOf[Boolean]) throw (if (command == "notebook.exit") new NotebookExit else new RuntimeException(answer.get(1).toString))
    answer.get(1)
  }
  def text(command: String, arguments: Any*): String = ask(command, arguments: _*).asInstanceOf[String]
  def list(command: String, arguments: Any*): Seq[Any] = ask(command, arguments: _*).asInstanceOf[java.util.List[Any]].asScala.toSeq
  def map(command: String, arguments: Any*): Map[String, Any] = fields(ask(command, arguments: _*))
  def fields(value: Any): Map[String, Any] = value.asInstanceOf[java.util.Map[String, Any]].asScala.toMap
  private def plain(value: Any): AnyRef = value match {
    case map: Map[_, _] => map.map { case (key, item) => plain(key) -> plain(item) }.asJava
    case many: Iterable[_] => many.map(plain).toSeq.asJava
    case other => other.asInstanceOf[AnyRef]
  }
}

case class FileInfo(path: String, name: String, size: Long, modificationTime: Long) {
  def isDir: Boolean = name.endsWith("/")
  def isFile: Boolean = !isDir
}
case class MountInfo(mountPoint: String, source: String, encryptionType: String)
case class SecretMetadata(key: String)
case class SecretScope(name: String)

object dbutils extends Serializable {
  object fs extends Serializable {
    def ls(dir: String): Seq[FileInfo] = Notebook.list("fs.ls", dir).map(Notebook.fields).map { info =>
      def number(name: String) = info(name).asInstanceOf[Number].longValue
      FileInfo(info("path").toString, info("name").toString, number("size"), number("modificationTime"))
    }
    def head(file: String, maxBytes: Int = 65536): String = Notebook.text("fs.head", file, maxBytes)
    def put(file: String, contents: String, overwrite: Boolean = false): Boolean = Notebook.ask("fs.put", file, contents, overwrite) == true
    def mkdirs(dir: String): Boolean = Notebook.ask("fs.mkdirs", dir) == true
    def rm(dir: String, recurse: Boolean = false): Boolean = Notebook.ask("fs.rm", dir, recurse) == true
    def cp(from: String, to: String, recurse: Boolean = false): Boolean = Notebook.ask("fs.cp", from, to, recurse) == true
    def mv(from: String, to: String, recurse: Boolean = false): Boolean = Notebook.ask("fs.mv", from, to, recurse) == true
    def mounts(): Seq[MountInfo] = Notebook.list("fs.mounts").map(Notebook.fields).map { info =>
      MountInfo(info("mountPoint").toString, info("source").toString, info("encryptionType").toString)
    }
  }
  object notebook extends Serializable {
    def exit(value: String): Unit = Notebook.ask("notebook.exit", value)
    def run(path: String, timeoutSeconds: Int = 0, arguments: Map[String, String] = Map()): String =
      Notebook.text("notebook.run", path, timeoutSeconds, arguments)
  }
  object secrets extends Serializable {
    def get(scope: String, key: String): String = Notebook.text("secrets.get", scope, key)
    def list(scope: String): Seq[SecretMetadata] = Notebook.list("secrets.list", scope).map(key => SecretMetadata(key.toString))
    def listScopes(): Seq[SecretScope] = Notebook.list("secrets.listScopes").map(name => SecretScope(name.toString))
  }
  object widgets extends Serializable {
    def text(name: String, defaultValue: String, label: String = ""): Unit = Notebook.ask("widgets.text", name, defaultValue, label)
    def dropdown(name: String, defaultValue: String, choices: Seq[String], label: String = ""): Unit =
      Notebook.ask("widgets.dropdown", name, defaultValue, choices, label)
    def combobox(name: String, defaultValue: String, choices: Seq[String], label: String = ""): Unit =
      Notebook.ask("widgets.combobox", name, defaultValue, choices, label)
    def multiselect(name: String, defaultValue: String, choices: Seq[String], label: String = ""): Unit =
      Notebook.ask("widgets.multiselect", name, defaultValue, choices, label)
    def get(name: String): String = Notebook.text("widgets.get", name)
    def getArgument(name: String, default: String = ""): String = Notebook.text("widgets.getArgument", name, default)
    def getAll(): Map[String, String] = Notebook.map("widgets.getAll").map { case (name, value) => name -> value.toString }
    def remove(name: String): Unit = Notebook.ask("widgets.remove", name)
    def removeAll(): Unit = Notebook.ask("widgets.removeAll")
  }
}
def getArgument(name: String, default: String = ""): String = dbutils.widgets.getArgument(name, default)
def display(table: org.apache.spark.sql.Dataset[_]): Unit = {
  val view = "display_" + java.util.UUID.randomUUID.toString.replace("-", "")
  table.toDF().createOrReplaceTempView(view)
  Notebook.ask("view", view)
}
def displayHTML(text: String): Unit = Notebook.ask("html", text)
