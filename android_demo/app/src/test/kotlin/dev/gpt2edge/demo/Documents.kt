package dev.gpt2edge.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import java.io.File
import org.robolectric.Robolectric

/**
 * What stands behind the file picker: an application that offers files, a document id being a path. Not
 * a DocumentsProvider, because Robolectric queries providers in the form before Android 8, which that refuses.
 */
class Documents : ContentProvider() {
    override fun onCreate() = true

    override fun query(uri: Uri, columns: Array<String>?, where: String?, values: Array<String>?, order: String?): Cursor {
        val file = File(DocumentsContract.getDocumentId(uri))
        val files = if (uri.lastPathSegment == "children") file.listFiles()!!.toList() else listOf(file)
        return MatrixCursor(columns).apply {
            for (one in files) addRow(columns!!.map { one.column(it) })
        }
    }

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor =
        ParcelFileDescriptor.open(File(DocumentsContract.getDocumentId(uri)), ParcelFileDescriptor.MODE_READ_ONLY)

    override fun getType(uri: Uri): String? = null

    override fun insert(uri: Uri, values: ContentValues?): Uri = throw UnsupportedOperationException()

    override fun delete(uri: Uri, where: String?, values: Array<String>?) = throw UnsupportedOperationException()

    override fun update(uri: Uri, content: ContentValues?, where: String?, values: Array<String>?) =
        throw UnsupportedOperationException()

    private fun File.column(column: String): Any =
        when (column) {
            Document.COLUMN_DOCUMENT_ID -> path
            Document.COLUMN_DISPLAY_NAME -> name
            Document.COLUMN_MIME_TYPE -> if (isDirectory) Document.MIME_TYPE_DIR else "application/octet-stream"
            Document.COLUMN_SIZE -> length()
            else -> throw IllegalArgumentException(column)
        }

    companion object {
        private const val AUTHORITY = "dev.gpt2edge.test.documents"

        fun install() {
            Robolectric.setupContentProvider(Documents::class.java, AUTHORITY)
        }

        fun file(file: File): Uri = DocumentsContract.buildDocumentUri(AUTHORITY, file.path)

        fun folder(folder: File): Uri = DocumentsContract.buildTreeDocumentUri(AUTHORITY, folder.path)
    }
}
