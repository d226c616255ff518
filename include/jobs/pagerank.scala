// PageRank of the airports by GraphX: an airport counts for much when many flights arrive from airports that count for much.
//
//     pagerank.scala INPUT OUTPUT
//
// Reads flights (Parquet with origin and dest), writes airport and rank as Parquet, and hands back the number of airports.

import org.apache.spark.graphx.{Edge, Graph}
import org.apache.spark.sql.SparkSession
import java.nio.file.{Files, Paths}

object PageRank {
  def main(args: Array[String]): Unit = {
    val Array(input, output) = args
    val spark = SparkSession.builder().getOrCreate()
    import spark.implicits._
    val routes = spark.read.parquet(input).groupBy("origin", "dest").count().as[(String, String, Long)].collect()
    val airports = routes.flatMap { case (origin, dest, _) => Seq(origin, dest) }.distinct.sorted
    val ids = airports.zipWithIndex.map { case (airport, id) => airport -> id.toLong }.toMap
    // One edge a flight would give the same ranks: GraphX counts parallel edges, so a busy route weighs more.
    val edges = routes.flatMap { case (origin, dest, flights) => Seq.fill(flights.toInt)(Edge(ids(origin), ids(dest), 1)) }
    val graph = Graph.fromEdges(spark.sparkContext.parallelize(edges.toSeq), 0)
    val ranks = graph.pageRank(0.001).vertices.map { case (id, rank) => (airports(id.toInt), rank) }
    ranks.toDF("airport", "rank").coalesce(1).write.mode("overwrite").parquet(output)
    println(s"airports: ${airports.length}")
    sys.env.get("AIRFLOW_ML_RESULT").foreach(path => Files.writeString(Paths.get(path), s"""{"airports": ${airports.length}}"""))
  }
}
