package dev.gpt2edge.demo

import android.content.ContentResolver
import android.content.res.AssetManager
import android.net.Uri
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import android.provider.OpenableColumns
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import org.json.JSONObject

private const val BUNDLED = "sample-int4"

/** The package in the application's assets, if it was built with it. */
fun bundledPackage(assets: AssetManager): BundledPackage? {
    fun open(file: String) = assets.open("packages/$BUNDLED/$file")
    val manifest =
        try {
            open("manifest.json").use { it.readBytes() }
        } catch (error: FileNotFoundException) {
            return null
        }
    val source =
        object : PackageSource {
            override val name = BUNDLED
            override val done: Double? = null

            override fun forEachFile(action: (path: String, content: InputStream) -> Unit) {
                val files = JSONObject(String(manifest)).getJSONObject("files").keys().asSequence()
                for (file in files + "manifest.json") open(file).use { action(file, it) }
            }
        }
    return BundledPackage(source, manifest)
}

/** A zip that the file picker returned. */
fun zipDocument(resolver: ContentResolver, uri: Uri): PackageSource =
    ZipSource(displayName(resolver, uri) ?: "package", size(resolver, uri)) { resolver.open(uri) }

/** A folder that the file picker returned; a package has no folders inside, so none are entered. */
class FolderDocument(private val resolver: ContentResolver, private val tree: Uri) : PackageSource {
    private val id = DocumentsContract.getTreeDocumentId(tree)
    override val name: String by lazy {
        displayName(resolver, DocumentsContract.buildDocumentUriUsingTree(tree, id)) ?: "package"
    }

    private var read = 0L
    private var size = 0L

    override val done: Double?
        get() = if (size > 0) minOf(1.0, read.toDouble() / size) else null

    override fun forEachFile(action: (path: String, content: InputStream) -> Unit) {
        for ((child, path) in files()) {
            val document = DocumentsContract.buildDocumentUriUsingTree(tree, child)
            CountedInput(resolver.open(document)) { read += it }.use { action(path, it) }
        }
    }

    private fun files(): List<Pair<String, String>> {
        val columns =
            arrayOf(Document.COLUMN_DOCUMENT_ID, Document.COLUMN_DISPLAY_NAME, Document.COLUMN_MIME_TYPE, Document.COLUMN_SIZE)
        val children = DocumentsContract.buildChildDocumentsUriUsingTree(tree, id)
        val found = ArrayList<Pair<String, String>>()
        val rows = resolver.query(children, columns, null, null, null)
        (rows ?: throw IOException("the folder cannot be listed")).use {
            while (rows.moveToNext()) {
                if (rows.getString(2) == Document.MIME_TYPE_DIR) continue
                found.add(rows.getString(0) to (rows.getString(1) ?: continue))
                size += rows.getLong(3)
            }
        }
        return found
    }
}

private fun ContentResolver.open(uri: Uri): InputStream =
    openInputStream(uri) ?: throw FileNotFoundException("$uri cannot be opened")

private fun size(resolver: ContentResolver, uri: Uri): Long? =
    resolver.query(uri, arrayOf(OpenableColumns.SIZE), null, null, null)?.use { rows ->
        if (rows.moveToFirst() && !rows.isNull(0)) rows.getLong(0) else null
    }

private fun displayName(resolver: ContentResolver, uri: Uri): String? =
    resolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use { rows ->
        if (rows.moveToFirst()) rows.getString(0) else null
    }
