package dev.gpt2edge.demo

import android.content.ContentResolver
import android.content.res.AssetManager
import android.net.Uri
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import android.provider.OpenableColumns
import java.io.FileNotFoundException
import java.io.InputStream

private const val ASSETS = "packages"

/** The package in the application's assets, if it was built with one. */
fun bundledPackage(assets: AssetManager): BundledPackage? {
    val name = assets.list(ASSETS)?.firstOrNull() ?: return null
    val folder = "$ASSETS/$name"
    val source =
        object : PackageSource {
            override val name = name

            override fun forEachFile(action: (path: String, content: InputStream) -> Unit) {
                for (file in assets.list(folder).orEmpty()) {
                    assets.open("$folder/$file").use { action(file, it) }
                }
            }
        }
    return BundledPackage(source) { assets.open("$folder/manifest.json").use { it.readBytes() } }
}

/** A zip that the file picker returned. */
fun zipDocument(resolver: ContentResolver, uri: Uri): PackageSource =
    ZipSource(displayName(resolver, uri) ?: "package") { resolver.open(uri) }

/** A folder that the file picker returned; a package has no folders inside, so none are entered. */
class FolderDocument(private val resolver: ContentResolver, private val tree: Uri) : PackageSource {
    private val id = DocumentsContract.getTreeDocumentId(tree)
    override val name: String
        get() =
            displayName(resolver, DocumentsContract.buildDocumentUriUsingTree(tree, id)) ?: "package"

    override fun forEachFile(action: (path: String, content: InputStream) -> Unit) {
        for ((child, path) in files()) {
            val document = DocumentsContract.buildDocumentUriUsingTree(tree, child)
            resolver.open(document).use { action(path, it) }
        }
    }

    private fun files(): List<Pair<String, String>> {
        val columns =
            arrayOf(Document.COLUMN_DOCUMENT_ID, Document.COLUMN_DISPLAY_NAME, Document.COLUMN_MIME_TYPE)
        val children = DocumentsContract.buildChildDocumentsUriUsingTree(tree, id)
        val found = ArrayList<Pair<String, String>>()
        resolver.query(children, columns, null, null, null)?.use { rows ->
            while (rows.moveToNext()) {
                if (rows.getString(2) == Document.MIME_TYPE_DIR) continue
                found.add(rows.getString(0) to rows.getString(1))
            }
        }
        return found
    }
}

private fun ContentResolver.open(uri: Uri): InputStream =
    openInputStream(uri) ?: throw FileNotFoundException("$uri cannot be opened")

private fun displayName(resolver: ContentResolver, uri: Uri): String? =
    resolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use { rows ->
        if (rows.moveToFirst()) rows.getString(0) else null
    }
